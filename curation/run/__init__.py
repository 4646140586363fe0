"""The run folder: file layout, run.json, plan, evidence, footer cache and driver state.

The modules that write and read the rows define their meaning.
"""
