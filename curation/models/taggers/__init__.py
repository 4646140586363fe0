"""Taggers: the contract (`base`), one adapter for each kind of model, and `build`.

`annotate` chooses the tags that guide a caption.
"""
