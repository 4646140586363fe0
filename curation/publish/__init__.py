"""Publishes a version of a run's curated table as a dataset, with card, metadata and checksums.

Evidence and table are only read; choosing the pairs is left to `curation.select`.
"""
