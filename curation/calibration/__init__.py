"""Calibrates a scorer: finds a threshold from its scores of matched and of shuffled pairs."""
