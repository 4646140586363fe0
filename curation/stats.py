"""How far the scores of matched pairs stand from those of shuffled ones, and scores agree:
arithmetic alone.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Separation:
    """What tells the matched pairs of a square of scores from its shuffled ones.

    Attributes:
        gap: mean score of matched pairs less that of shuffled ones.
        auc: probability that a matched pair outscores a shuffled one.
        deviations: the sum over the matched pairs, in standard deviations from what it would be
            were captions handed out at random; 0 where all scores are alike.
    """

    gap: float
    auc: float
    deviations: float


def separation(scores: np.ndarray) -> Separation:
    """The separation of scores `[sound, caption]`, matched on the diagonal; at least two of each.

    Some sounds score high with everything, and so do some captions. The mean and the variance of
    the sum along a random permutation know that (Hoeffding 1951, "A combinatorial central limit
    theorem"): they follow from the scores less the means of their row and of their column.
    """
    count = len(scores)
    matched = np.diagonal(scores)
    shuffled = scores[~np.eye(count, dtype=bool)]
    centred = scores - scores.mean(0) - scores.mean(1, keepdims=True) + scores.mean()
    deviation = math.sqrt(float(np.square(centred).sum()) / (count - 1))
    return Separation(
        gap=float(matched.mean() - shuffled.mean()),
        auc=auc(matched, shuffled),
        deviations=float(np.trace(centred)) / deviation if deviation else 0.0,
    )


def auc(higher: np.ndarray, lower: np.ndarray) -> float:
    """Probability that one of the first scores exceeds one of the second; ties count half.

    NaN where either has none.
    """
    if not len(higher) or not len(lower):
        return float("nan")
    ordered = np.sort(lower)
    below = np.searchsorted(ordered, higher, "left") + np.searchsorted(ordered, higher, "right")
    return float(below.mean()) / (2 * len(lower))


def spearman(
    first: Sequence[float] | np.ndarray, second: Sequence[float] | np.ndarray
) -> float | None:
    """Spearman's correlation; equal values share the mean of their ranks.

    None where there are fewer than two values of each, or all of one are alike.
    """
    ranks = np.array([_ranks(first), _ranks(second)])
    if (ranks == ranks[:, :1]).all(axis=1).any():
        return None
    return float(np.corrcoef(ranks)[0, 1])


def _ranks(values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Ranks from 1, the least first."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - (count - 1) / 2)[place]
