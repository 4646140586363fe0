"""Runs the shards of a run: chooses the executor, recovers from dead workers, reports progress.

`annotate` has the stages of a clip. `processes` and `cluster` are the executors.
"""
