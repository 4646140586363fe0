"""The networks, as torch modules, and the front ends that compute their features.

Where weights lie and how captions are drawn from a decoder is left to the folders beside it.
"""
