"""The `tagscribe` command, one file a command group: parse, call, print.

The work is done in the packages that it calls.
"""
