"""From a curated table to batches: index, order, loader, decoding, features, augmentation.

`objective` and `pretrain` train on the batches.
"""
