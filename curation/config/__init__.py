"""The sections of a run's YAML as typed data, with their bounds and descriptions; no I/O.

`run` reads the file.
"""
