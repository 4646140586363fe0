"""Trains the built-in models: settings, corpora and trainers.

`curation.models` has the layers of the networks.
"""
