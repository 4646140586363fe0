"""The networks, as torch modules, and the front ends that compute their features.

`curation.models` reads the weights of networks, and `decoding` decodes captions with them.
"""
