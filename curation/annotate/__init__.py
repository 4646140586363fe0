"""The stages that annotate a clip (load, tag, caption, score, row), and the workers that run them.

The stages are plain code. `cluster` and `processes` place the workers on machines.
"""
