"""Selection: evidence and a policy become one version of the curated table."""
