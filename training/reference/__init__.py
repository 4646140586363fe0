"""Settings, corpora and trainers of the built-in models.

`curation.models` has the layers of the networks.
"""
