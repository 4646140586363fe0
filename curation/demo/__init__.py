"""The method on one machine: runs over a procedural corpus, graded against its exact truth."""
