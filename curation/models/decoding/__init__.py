"""Decodes captions from next-token distributions by beam search and seeded sampling.

`networks` contains the networks; `captioners` turns the decoded text into captions.
"""
