"""Runs the work on Ray: sessions, the graph of a run, recovery, pools, placement, jobs, metrics.

Only this folder imports Ray. `annotate` has the stages of a clip.
"""
