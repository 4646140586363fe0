"""Runs the shards of a run: chooses the executor, recovers from dead workers, reports progress.

What happens to a clip is in `annotate`, the executors are `processes` and `cluster`.
"""
