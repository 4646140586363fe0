"""tagscribe's curation engine: turns clips with AudioSet tags into a curated table of captions."""

__version__ = "0.1.0"
