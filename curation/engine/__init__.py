"""Annotates the shards of a run: chooses the executor, recovers from crashes, reports progress.

`annotate` has the stages of a clip. `processes` and `cluster` have the executors.
"""
