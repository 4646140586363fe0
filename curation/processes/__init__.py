"""The executor for one machine: workers are processes of this machine, without Ray.

`annotate` contains the stages of a clip; `engine` recovers from deaths of workers.
"""
