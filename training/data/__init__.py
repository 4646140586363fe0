"""Turns a curated table into batches: index, order, loader, decoding, features, augmentation.

The modules `training.objective` and `training.pretrain` train on the batches.
"""
