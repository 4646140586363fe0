"""Scorers: the contract (`base`), one adapter for each kind of model, and `build`.

`networks` contains the networks; `annotate` and `select` use the scores.
"""
