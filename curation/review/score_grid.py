"""Counts captions by score and stratum, for charts, yields and precision."""

from dataclasses import dataclass

import numpy as np

from curation.config.policy import ScoreName
from curation.review.index import ReviewIndex
from curation.review.sampling import STRATUM_COUNT

BINS = 64


@dataclass(frozen=True, eq=False)
class ScoreGrid:
    """The score bin and the stratum of each entry.

    Attributes:
        edges: float64 `[BINS + 1]`, ascending. A bin includes its lower edge; the last bin includes
            both edges.
        cell: int16 `[entries]`, bin times STRATA plus stratum; undefined without a caption.
    """

    edges: np.ndarray
    cell: np.ndarray

    def count(self, which: np.ndarray) -> np.ndarray:
        """Count the captions in each cell, int `[BINS, STRATA]`.

        Args:
            which: the captions to count: bool `[entries]`, or entry numbers.
        """
        counted = np.bincount(self.cell[which], minlength=BINS * STRATUM_COUNT)
        return counted.reshape(BINS, STRATUM_COUNT)


def build_score_grid(index: ReviewIndex, name: ScoreName) -> ScoreGrid:
    """Build a grid whose bins cover the range from the lowest to the highest score of the run."""
    score, best_first = index.score(name), index.columns[f"order_{name}"]
    lowest, highest = (score[best_first[-1]], score[best_first[0]]) if len(best_first) else (0, 1)
    edges = np.linspace(lowest, max(highest, lowest + 1e-6), BINS + 1)
    place = np.clip(np.searchsorted(edges, score, side="right") - 1, 0, BINS - 1)
    stratum = np.where(index.has_caption, index.columns["stratum"], 0)
    return ScoreGrid(edges, (place * STRATUM_COUNT + stratum).astype(np.int16))


def counts_at_least(counted: np.ndarray) -> np.ndarray:
    """Count the captions at or above each bin's lower edge, by stratum.

    `counted` is a result of `ScoreGrid.count`.
    """
    return counted[::-1].cumsum(axis=0)[::-1]
