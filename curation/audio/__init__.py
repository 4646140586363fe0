"""Decodes audio files, and operates on waveforms: mono, resampling, levels, FLAC.

`catalog` reads the bytes of the files.
"""
