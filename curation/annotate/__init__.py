"""The stages of a clip as plain code (load, tag, caption, score, row), and the workers.

Placing the workers on machines is left to `cluster`.
"""
