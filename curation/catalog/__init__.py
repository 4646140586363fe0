"""Catalogs: each kind becomes one sorted listing of clips, with or without audio.

`curation.audio` decodes, and `curation.run` cuts the listing into shards.
"""
