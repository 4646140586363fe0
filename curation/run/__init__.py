"""The run folder: its layout, run.json, plan, evidence, footer cache and driver state.

The meaning of the rows is defined by the modules that write and read them.
"""
