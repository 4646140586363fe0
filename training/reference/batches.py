"""Cuts clips into batches of similar length, in an order determined by seed and epoch."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

_BATCHES_PER_POOL = 16


def batch_by_length(
    lengths: Sequence[int], batch: int, rng: np.random.Generator
) -> list[list[int]]:
    """Cut an epoch's permutation into full batches of clips of similar length, in random order.

    Clips are sorted by length only within pools of 16 batches, so that batches differ between
    epochs. Clips that do not fill a batch are not used in the epoch.
    """
    order = rng.permutation(len(lengths))
    pools = (
        sorted(
            order[start : start + _BATCHES_PER_POOL * batch].tolist(),
            key=lambda index: lengths[index],
        )
        for start in range(0, len(order), _BATCHES_PER_POOL * batch)
    )
    batches = [
        pool[start : start + batch]
        for pool in pools
        for start in range(0, len(pool) - batch + 1, batch)
    ]
    return [batches[index] for index in rng.permutation(len(batches))]


def crop_to_shortest(features: Sequence[Tensor], rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Crop features `[frame, mel]` at a random place, to the length of the shortest.

    The features are in half precision. Without padding, the statistics of batch norm are right.

    Returns `[batch, frame, mel]` and the lengths.
    """
    shortest = min(len(feature) for feature in features)
    starts = [int(rng.integers(len(feature) - shortest + 1)) for feature in features]
    cut = [
        feature[start : start + shortest] for feature, start in zip(features, starts, strict=True)
    ]
    return torch.stack(cut).float(), torch.full((len(cut),), shortest)


def pad_features(features: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Pad features `[frame, mel]` in half precision to float `[batch, frame, mel]`.

    Also returns the lengths.
    """
    lengths = torch.tensor([len(feature) for feature in features])
    batch = torch.nn.utils.rnn.pad_sequence(list(features), batch_first=True)
    return batch.float(), lengths
