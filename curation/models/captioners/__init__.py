"""Captioners: the contract (`base`), one adapter a kind of model, and the code that builds one.

Networks lie in `networks`, decoding loops in `decoding`; guidance is chosen by `annotate`.
"""
