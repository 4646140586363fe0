"""Statistics equal the formulas by which results were computed before, bit for bit."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from curation.stats import auc, spearman, wilson_interval

Scores = NDArray[np.floating]


def auc_by_search(higher: Scores, lower: Scores) -> float:
    ordered = np.sort(lower)
    below = np.searchsorted(ordered, higher, "left") + np.searchsorted(ordered, higher, "right")
    return float(below.mean()) / (2 * len(lower))


def mean_ranks(values: Scores) -> Scores:
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    ranks: Scores = (np.cumsum(count) - (count - 1) / 2)[place]
    return ranks


@pytest.mark.parametrize("decimals", [0, 1, 2])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_are_those_of_before_ties_included(decimals: int, dtype: type) -> None:
    random = np.random.default_rng(decimals)
    for _ in range(100):
        first, second = (
            np.round(random.normal(mean, 1, random.integers(2, 40)), decimals).astype(dtype)
            for mean in (0.0, 0.5)
        )
        assert auc(first, second) == auc_by_search(first, second)
        same = np.round(random.normal(0, 1, len(first)), decimals)
        ranks = np.array([mean_ranks(first), mean_ranks(same)])
        if min(np.ptp(ranks, axis=1)) > 0:
            assert spearman(first, same) == float(np.corrcoef(ranks)[0, 1])
        else:
            assert spearman(first, same) is None


@pytest.mark.parametrize(
    ("share", "n", "low", "high"),
    [(0.5, 10, 0.2366, 0.7634), (1.0, 20, 0.8389, 1.0), (0.0, 20, 0.0, 0.1611)],
)
def test_wilsons_interval_is_that_of_the_textbooks(
    share: float, n: int, low: float, high: float
) -> None:
    assert wilson_interval(share, n) == pytest.approx((low, high), abs=1e-4)


def test_auc_counts_pairs() -> None:
    right, wrong = np.array([0.9, 0.5, 0.5]), np.array([0.5, 0.1])
    pairs = [(r > w) + (r == w) / 2 for r in right for w in wrong]
    assert auc(right, wrong) == pytest.approx(sum(pairs) / len(pairs))


def test_auc_needs_both() -> None:
    assert math.isnan(auc(np.array([1.0]), np.array([])))
