"""The executor of one machine: workers as processes of this machine, without Ray.

`annotate` has the stages of a clip, `engine` recovers from deaths.
"""
