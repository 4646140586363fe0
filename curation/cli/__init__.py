"""The `tagscribe` command. Each file has one group of subcommands.

A subcommand parses its arguments, calls the package that does the work, and prints the result.
"""
