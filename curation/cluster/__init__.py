"""Ray: sessions, the graph of a run, recovery, pools, placement, jobs and exported metrics.

Only this folder imports Ray. `annotate` has the stages of a clip.
"""
