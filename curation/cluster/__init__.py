"""Ray: sessions, the graph of a run, recovery, pools, placement, jobs and exported metrics.

Only this folder imports Ray. What happens to a clip is in `annotate`.
"""
