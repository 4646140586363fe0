"""Reads the catalogs of the supported kinds, and lists their clips in one sorted table.

The table also lists clips whose audio is missing. `curation.audio` decodes the audio, and
`curation.run` cuts the table into shards.
"""
