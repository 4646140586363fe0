"""The method on one machine with exact truth: three runs over a procedural corpus, and their grading."""
