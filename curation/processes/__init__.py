"""The executor of one machine: workers as processes of this machine, without Ray.

What happens to a clip is in `annotate`, recovery from deaths in `engine`.
"""
