"""The run folder: where files lie, run.json, plan, evidence, footer cache and driver state.

What the rows mean is left to those who write and read them.
"""
