"""The stages that annotate a clip (load, tag, caption, score), and the workers that run the stages.

The stages are plain code. `cluster` and `processes` place the workers on machines.
"""
