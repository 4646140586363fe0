"""What happens to a clip, as plain code: load, tag, caption, score, row; and the workers that do it.

Placing the workers on machines is left to `cluster`.
"""
