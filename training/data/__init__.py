"""From a curated table to batches: index, order, loader, decoding, features, augmentation.

What is optimised on them is left to `objective` and `pretrain`.
"""
