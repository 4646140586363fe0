"""Taggers: the contract (`base`), one adapter a kind of model, and the code that builds one.

Which tags then guide a caption is left to `annotate`.
"""
