"""The order of the clips in an epoch: a permutation that follows from seed and epoch."""

import numpy as np

from training.data.table_index import Floats, Ints

_BATCHES_PER_POOL = 16  # batches


def epoch_order(
    duration_s: Floats, row_groups: Ints, batch: int, seed: int, epoch: int, bucket: bool
) -> Ints:
    """One epoch's permutation of all clips, batch after batch; what fills no batch stands last.

    Clips are drawn at random and put in pools of 16 batches. With `bucket` a pool is sorted by
    duration before it is cut into batches; the batches, and the rows of each, are then shuffled, so
    that every slice of a batch is like every other.

    Clips of a table with embedded audio are drawn by the row group: a pool holds whole groups, and
    batches change places within their pool only, so that a reader finds in its cache what it read
    for the batches before. Clips that share a row group then often share a pool too; which
    groups meet is drawn anew each epoch.

    Args:
        duration_s: duration of each clip after cropping, `[clip]`.
        row_groups: which clips are read together, `[clip]`, numbered from 0.
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
