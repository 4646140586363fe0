"""Where clips come from: each kind of catalog becomes one sorted listing, with or without audio.

Decoding is left to `curation.audio`, and cutting the listing into shards to `curation.run`.
"""
