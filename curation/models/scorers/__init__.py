"""Scorers: the contract (`base`), one adapter a kind of model, and the code that builds one.

Networks lie in `networks`; what is done with scores is left to `annotate` and `select`.
"""
