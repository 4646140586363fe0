"""Estimates the precision of the captions that a policy accepts, from a marked sample.

The sample is that of `sampling`. The accepted captions are split by stratum. In each part the
marked captions are a simple random sample. A part is weighted by its known size in the run, not by
its number of marks.
"""

from dataclasses import dataclass

import numpy as np

from curation.stats import wilson_interval


@dataclass(frozen=True)
class PrecisionEstimate:
    """Precision with its 95 % interval; `precision` is None without marks.

    It rests on `marked` marks, which are worth a simple random sample of `effective`.
    """

    precision: float | None
    low: float
    high: float
    marked: int
    effective: float


def estimate_precision(size: np.ndarray, marked: np.ndarray, good: np.ndarray) -> PrecisionEstimate:
    """Precision of a set of captions, from their number, marks and good marks by stratum.

    The interval is Wilson's, with the effective size of the sample. If a stratum has captions and
    no marks, the interval allows for all of them being bad, and for all being good.

    Args:
        size, marked, good: int `[stratum]`.
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
