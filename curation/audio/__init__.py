"""Decoding, and operations on waveforms: mono, resampling, levels, FLAC.

`catalog` reads the bytes.
"""
