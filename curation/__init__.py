"""tagscribe's curation engine: from clips with AudioSet tags to a curated table of captions."""

__version__ = "0.1.0"
