"""The order in which people judge captions: a stratified random sample of all captions of a run.

Strata are bands of CLAP score with equal numbers of captions: eight bands of the clips' best
captions, and four bands of the other captions. Within a stratum the order is random. Thus the
captions of a stratum that were already judged are always a simple random sample of the stratum, and
of any part of it that a policy accepts.
"""

import numpy as np

BEST_BANDS = 8
OTHER_BANDS = 4
STRATUM_COUNT = BEST_BANDS + OTHER_BANDS
# Of the others, which few policies accept, every fourth as many are drawn.
_OTHERS_PERIOD = 4
NO_STRATUM = -1


def assign_stratum(clap_score: np.ndarray, rank: np.ndarray) -> np.ndarray:
    """Return the stratum of each entry, int8 `[entries]`; `NO_STRATUM` for rank 0 (no caption)."""
    result = np.full(len(rank), NO_STRATUM, np.int8)
    for first, bands, rows in (
        (0, BEST_BANDS, np.flatnonzero(rank == 1)),
        (BEST_BANDS, OTHER_BANDS, np.flatnonzero(rank > 1)),
    ):
        ascending = rows[np.argsort(clap_score[rows], kind="stable")]
        for band, part in enumerate(np.array_split(ascending, bands)):
            result[part] = first + band
    return result


def sampling_order(stratum: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return all captions in the order in which they are judged; the strata take turns."""
    chance = np.random.default_rng(seed)
    rows, turns = [], []
    for each in range(STRATUM_COUNT):
        shuffled = chance.permutation(np.flatnonzero(stratum == each)).astype(np.int32)
        rows.append(shuffled)
        every = 1 if each < BEST_BANDS else _OTHERS_PERIOD
        turns.append(np.arange(len(shuffled), dtype=np.int64) * every)
    return np.concatenate(rows)[np.argsort(np.concatenate(turns), kind="stable")]
