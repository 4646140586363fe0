"""The sections of a run's YAML as typed data, with the bounds and description of each key.

Nothing here does I/O. `run` reads the file.
"""
