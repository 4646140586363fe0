"""The stages of a clip as plain code (load, tag, caption, score, row), and their workers.

`cluster` and `processes` place the workers on machines.
"""
