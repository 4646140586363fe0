"""What happens to a clip, as plain code: load, tag, caption, score, one evidence row; and its workers.

Placing the workers on machines is left to `cluster`.
"""
