"""Captioners: the contract (`base`), one adapter for each kind of model, and `build`.

`networks` contains the networks and `decoding` the decoding loops; `annotate` chooses the tags that
guide a caption.
"""
