"""One reader a published data set: its folder and a split become an `EvalSet`."""
