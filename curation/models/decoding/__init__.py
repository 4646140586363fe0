"""Decodes captions from next-token distributions: beam search and seeded sampling.

`networks` has the networks; `captioners` processes the text.
"""
