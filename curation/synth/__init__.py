"""Procedural sounds with exact captions: a corpus that needs no download.

Every clip is determined by (seed, index). `mixing.render_clip` returns a clip's sound and scene;
`corpus.write_corpus` writes a folder in AudioSet's layout.
"""
