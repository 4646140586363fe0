"""Decoding, and what is computed from a waveform: mono, resampling, levels, FLAC.

Where the bytes come from is left to `catalog`.
"""
