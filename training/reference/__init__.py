"""Settings, corpora and trainers of the built-in models.

The layers of the networks are in `curation.models`.
"""
