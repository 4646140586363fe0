"""Computes status, verification and cost of a run from the run's folder, without a cluster."""
