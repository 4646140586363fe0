"""Selection applies a policy to the evidence. The result is a version of the curated table."""
