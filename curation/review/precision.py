"""Estimates the precision of the captions that a policy accepts, from a marked sample.

The sample is drawn by `sampling`. The accepted captions are split by stratum. The marked captions
of a stratum are a simple random sample of its accepted captions. Each stratum is weighted by its
number of accepted captions in the run, not by its number of marks.
"""

from dataclasses import dataclass

import numpy as np

from curation.stats import wilson_interval


@dataclass(frozen=True)
class PrecisionEstimate:
    """Precision with its 95 % interval; `precision` is None without marks.

    The estimate uses `marked` marks. `effective` is the size of a simple random sample that would
    be equally accurate.
    """

    precision: float | None
    low: float
    high: float
    marked: int
    effective: float


def estimate_precision(size: np.ndarray, marked: np.ndarray, good: np.ndarray) -> PrecisionEstimate:
    """Estimate the precision of a set of captions, from counts by stratum.

    The interval is Wilson's, with the effective size of the sample. If a stratum has captions but
    no marks, the lower end assumes that all of them are bad, and the upper end that all are good.

    Args:
        size, marked, good: number of captions, of marks, and of good marks, int `[stratum]`.
    """
    sampled = (marked > 0) & (size > 0)
    if not sampled.any():
        return PrecisionEstimate(None, 0.0, 1.0, 0, 0.0)
    n = marked[sampled]
    share = good[sampled] / n
    weight = size[sampled] / size[sampled].sum()
    precision = float(weight @ share)
    effective = _effective(weight, n, good[sampled], precision)
    low, high = wilson_interval(precision, effective)
    known = float(size[sampled].sum() / size.sum())
    return PrecisionEstimate(
        precision, known * low, known * high + 1 - known, int(n.sum()), effective
    )


def _effective(weight: np.ndarray, n: np.ndarray, good: np.ndarray, precision: float) -> float:
    """The size of a simple random sample that is as precise as this one.

    Kish's, which holds where strata are equal, or less, where those that few marks stand for vary
    most. Shares of few marks are drawn towards a half, as four equal marks are no certainty.
    """
    each = weight**2 / n
    kish = 1 / float(each.sum())
    share = (good + 1) / (n + 2)
    smoothed = float(weight @ share)
    varies = float((each * share * (1 - share)).sum())
    return min(kish, smoothed * (1 - smoothed) / varies)
