"""Publishing: a version of the curated table becomes a dataset that others load, trust and cite."""
