"""Converts released checkpoints of other projects into model directories."""
