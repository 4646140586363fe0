"""Statistics of scores: AUC, Spearman's correlation, Wilson's interval, separation of pairs.

All are pure functions of arrays. SciPy is imported inside the functions, because importing SciPy
takes longer than most commands.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Z_95 = 1.959964  # 95 % of a normal distribution lie within so many standard deviations


@dataclass(frozen=True)
class Separation:
    """The separation of matched from shuffled pairs in a square matrix of scores.

    Attributes:
        gap: mean score of the matched pairs minus that of the shuffled pairs.
        auc: probability that a matched pair scores higher than a shuffled one.
        deviations: number of standard deviations by which the sum over the matched pairs exceeds
            its expectation under a random assignment of captions; 0 if all scores are equal.
    """

    gap: float
    auc: float
    deviations: float


def separation(scores: np.ndarray) -> Separation:
    """Compute the separation of a matrix of scores `[sound, caption]`, matched on the diagonal.

    The matrix needs at least two sounds. Some sounds score high with every caption, and some
    captions with every sound. The mean and the variance of the sum along a random permutation
    account for this (Hoeffding 1951, "A combinatorial central limit theorem"). They follow from the
    scores minus the means of their row and of their column.
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
    """Compute the area under the ROC curve.

    This is the probability that a score of `higher` exceeds a score of `lower`, where ties count
    half. It equals the Mann-Whitney U statistic divided by the number of pairs.

    Args:
        higher: scores of the positives `[n]`.
        lower: scores of the negatives `[m]`.

    Returns NaN if either is empty.
    """
    from scipy.stats import rankdata

    if not len(higher) or not len(lower):
        return float("nan")
    count = len(higher)
    ranks = rankdata(np.concatenate([higher, lower]))
    u = float(ranks[:count].sum()) - count * (count + 1) / 2
    return 2 * u / count / (2 * len(lower))


def spearman(
    first: Sequence[float] | np.ndarray, second: Sequence[float] | np.ndarray
) -> float | None:
    """Compute Spearman's rank correlation; equal values share the mean of their ranks.

    Returns None if there are fewer than two values, or if all values of one side are equal.
    """
    from scipy.stats import rankdata

    ranks = np.array([rankdata(first), rankdata(second)])
    if (ranks == ranks[:, :1]).all(axis=1).any():
        return None
    return float(np.corrcoef(ranks)[0, 1])


def wilson_interval(share: float, n: float, z: float = Z_95) -> tuple[float, float]:
    """Compute Wilson's score interval for a share seen in `n` trials (Wilson, JASA 22, 1927).

    `n` may be an effective sample size, and need not be an integer.
    """
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)
