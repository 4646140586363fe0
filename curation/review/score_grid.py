"""Captions counted by score and stratum at once: what charts, yields and precision are made of."""

from dataclasses import dataclass

import numpy as np

from curation.config.policy import ScoreName
from curation.review.index import ReviewIndex
from curation.review.sampling import STRATUM_COUNT

BINS = 64


@dataclass(frozen=True, eq=False)
class ScoreGrid:
    """Where each entry lies: in which bin of a score, and in which stratum.

    Attributes:
        edges: float64 `[BINS + 1]`, ascending; a bin holds its lower edge, the last one both.
        cell: int16 `[entries]`, bin times STRATA plus stratum; without meaning if there is no
            caption.
    """

    edges: np.ndarray
    cell: np.ndarray

    def count(self, which: np.ndarray) -> np.ndarray:
        """How many of these captions each cell holds, int `[BINS, STRATA]`.

        Args:
            which: bool `[entries]`, or the numbers of the captions.
        """
        counted = np.bincount(self.cell[which], minlength=BINS * STRATUM_COUNT)
        return counted.reshape(BINS, STRATUM_COUNT)


def build_score_grid(index: ReviewIndex, name: ScoreName) -> ScoreGrid:
    """The bins of a score, from the lowest of the run's to the highest."""
    score, best_first = index.score(name), index.columns[f"order_{name}"]
    lowest, highest = (score[best_first[-1]], score[best_first[0]]) if len(best_first) else (0, 1)
    edges = np.linspace(lowest, max(highest, lowest + 1e-6), BINS + 1)
    place = np.clip(np.searchsorted(edges, score, side="right") - 1, 0, BINS - 1)
    stratum = np.where(index.has_caption, index.columns["stratum"], 0)
    return ScoreGrid(edges, (place * STRATUM_COUNT + stratum).astype(np.int16))


def counts_at_least(counted: np.ndarray) -> np.ndarray:
    """Of `Grid.count`'s answer: how many score at least each bin's lower edge, of each stratum."""
    return counted[::-1].cumsum(axis=0)[::-1]
