"""Selection: applies a policy to the evidence; the result is a version of the curated table."""
