"""Publishes a version of a run's curated table as a dataset, with card, metadata and checksums.

This package only reads evidence and table; `curation.select` chooses the pairs.
"""
