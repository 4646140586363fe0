"""Computes the order of the clips in an epoch: a permutation determined by seed and epoch."""

import numpy as np

from training.data.table_index import Floats, Ints

_BATCHES_PER_POOL = 16  # batches


def epoch_order(
    duration_s: Floats, row_groups: Ints, batch: int, seed: int, epoch: int, bucket: bool
) -> Ints:
    """Return an epoch's permutation of all clips. Clips that do not fill a batch are last.

    Clips are drawn at random into pools of 16 batches, and each pool is cut into batches. With
    `bucket` a pool is sorted by duration before it is cut. The batches, and the rows within each
    batch, are then shuffled, so that all slices of a batch have the same distribution.

    If a table embeds its audio, whole row groups are drawn into a pool, and batches are shuffled
    only within the pool. A reader thus often finds the row group of a clip in its cache. Each epoch
    draws other row groups into a pool.

    Args:
        duration_s: duration of each clip after cropping, `[clip]`.
        row_groups: the row group of each clip, `[clip]`, numbered from 0; the clips of a row group
            are read together.
    """
    rng = np.random.default_rng((seed, epoch))
    clips = len(duration_s)
    groups = int(row_groups.max()) + 1
    drawn = np.lexsort((rng.random(clips), rng.permutation(groups)[row_groups]))
    batches = clips // batch
    # Left out before anything is sorted by duration: else it would always be the longest clips.
    pooled, excluded = np.split(drawn, [batches * batch])
    pool = np.arange(len(pooled)) // (_BATCHES_PER_POOL * batch)
    durations = duration_s[pooled] if bucket else np.zeros(len(pooled))
    pooled = pooled[np.lexsort((rng.random(len(pooled)), durations, pool))]
    rows = rng.permuted(pooled.reshape(batches, batch), axis=1)
    stays_in = np.arange(batches) // _BATCHES_PER_POOL if groups < clips else np.zeros(batches)
    rows = rows[np.lexsort((rng.random(batches), stays_in))]
    return np.concatenate([rows.reshape(-1), excluded])
