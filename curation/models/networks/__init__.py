"""The networks, as torch modules, and the front ends that compute their features.

`curation.models` reads their weights, and `decoding` draws captions from the decoders.
"""
