"""Evaluation on published data sets: zero-shot classification, tagging and retrieval."""
