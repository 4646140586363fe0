"""Turns a captioner's next-token distributions into captions: beam search and seeded sampling.

The networks are in `networks`; what becomes of the text is left to `captioners`.
"""
