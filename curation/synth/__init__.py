"""Procedural sounds with exact captions: a corpus that needs no download.

Every clip is determined by (seed, index). `mixing.render_clip` returns the sound and its truth;
`corpus.write_corpus` writes a folder in AudioSet's layout.
"""
