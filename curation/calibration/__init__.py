"""Calibration of a scorer: its scores of matched and of shuffled pairs, and a threshold."""
