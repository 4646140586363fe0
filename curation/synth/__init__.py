"""Procedural sounds with exact captions: the corpus that needs no download.

Every clip follows from (seed, index) alone. `mixing.render_clip` gives the sound and its truth,
`corpus.write_corpus` a folder in AudioSet's layout.
"""
