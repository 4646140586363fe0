"""One reader for each published data set; it turns a folder and a split into an `EvalSet`."""
