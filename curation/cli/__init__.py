"""The `tagscribe` command, one file per command group: parses arguments, calls, prints.

The called packages do the work.
"""
