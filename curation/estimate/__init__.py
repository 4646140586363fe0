"""Estimates the yield, time and cost of a run from a sample, measured on the run's hardware."""
