"""Captioners: the contract (`base`), one adapter for each kind of model, and `build`.

`networks` has the networks, `decoding` the decoding loops; `annotate` chooses the guidance.
"""
