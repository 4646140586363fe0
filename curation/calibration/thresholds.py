"""Computes from scores of pairs the threshold for a precision, its bounds, and the length bias.

All functions are pure functions of arrays.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from curation.stats import spearman

# What the captions of the matched pairs are: judged by people, right by assumption, or written by
# a captioner, so that some of them are wrong.
Source = Literal["judged", "true", "written"]

# Of fewer captions no precision is estimated.
MIN_KEPT = 10
# The share of right captions where nothing is known of it.
PRIOR = 0.5
PERCENTS = (1, 5, 10, 25, 50, 75, 90, 95, 99)
_RESAMPLES = 1000
_MOST_THRESHOLDS = 400


@dataclass(frozen=True, eq=False)
class ScoredPairs:
    """The scores of captions with their own clips and with other clips.

    Attributes:
        source: where the captions come from, which decides how precision is estimated.
        matched: `[caption]` score of each caption with its own clip.
        shuffled: `[caption, clip]` score of each caption with every clip.
        unrelated: bool `[caption, clip]`, True if the pair counts as shuffled.
        words: int `[caption]`, number of words.
        right: bool `[caption]`, whether people judged the caption as right; None unless `source` is
            "judged".
    """

    source: Source
    matched: np.ndarray
    shuffled: np.ndarray
    unrelated: np.ndarray
    words: np.ndarray
    right: np.ndarray | None = None

    @property
    def shuffled_pairs(self) -> np.ndarray:
        """The scores `[pair]` of all pairs that count as shuffled."""
        return self.shuffled[self.unrelated]

    @property
    def shuffled_words(self) -> np.ndarray:
        """Number of words in the caption of each pair of `shuffled_pairs`."""
        return np.broadcast_to(self.words[:, None], self.unrelated.shape)[self.unrelated]


@dataclass(frozen=True)
class Threshold:
    """The lowest score at which captions are precise enough.

    Attributes:
        low, high: bounds that contain the threshold in 95 % of the resamples that have a threshold.
        precision: estimated precision of the captions with this score or more.
        kept_share: share of all captions that have this score or more.
    """

    score: float
    low: float
    high: float
    precision: float
    kept_share: float


class PrecisionCurve:
    """Estimates the precision of the captions whose score is at least a threshold.

    The estimate depends on the source of the captions. M is the share of matched pairs at or above
    the threshold, S is the share of shuffled pairs, and `prior` is the share of right captions
    before the filter:

    - judged: the share of right captions among the judged captions that are kept. The prior is not
      used.
    - true: prior M / (prior M + (1 - prior) S). All given captions are right, and wrong captions
      are assumed to be added until the share of right ones is `prior`.
    - written: 1 - (1 - prior) S / M. The captions of a model already contain wrong ones.

    The last two assume that a wrong caption scores like a shuffled one. A partly right caption
    scores higher, so both estimates are upper bounds.

    Attributes:
        thresholds: `[threshold]` rising, the distinct scores of matched pairs, thinned evenly to at
            most `_MOST_THRESHOLDS`.
    """

    def __init__(self, scored: ScoredPairs, prior: float) -> None:
        scores = np.unique(scored.matched)
        self.thresholds = scores[:: -(-len(scores) // _MOST_THRESHOLDS)]
        self._prior = prior
        self._scored = scored
        self._reaches = (scored.matched[:, None] >= self.thresholds).astype(np.float64)

    def precision(self, weights: np.ndarray) -> np.ndarray:
        """Estimate the precision `[resample, threshold]`; NaN or 0 if no caption is kept.

        Args:
            weights: `[resample, caption]`, how often each caption counts in a resample.
        """
        scored, prior = self._scored, self._prior
        kept = self.kept_share(weights)
        with np.errstate(invalid="ignore", divide="ignore"):
            if scored.right is not None:
                return weights @ (self._reaches * scored.right[:, None]) / (weights @ self._reaches)
            shuffled = weights @ self._shuffled / (weights @ scored.unrelated.sum(1))[:, None]
            if scored.source == "true":
                return prior * kept / (prior * kept + (1 - prior) * shuffled)
            return np.clip(1 - (1 - prior) * shuffled / kept, 0, 1)

    def at(self, score: float) -> float:
        """Estimate the precision of captions with this score or more; NaN if there are none."""
        place = int(np.searchsorted(self.thresholds, score))
        once = np.ones((1, len(self._scored.matched)))
        return float(np.append(self.precision(once)[0], np.nan)[place])

    def kept_share(self, weights: np.ndarray) -> np.ndarray:
        """Compute the share `[resample, threshold]` of captions at or above each threshold."""
        return weights @ self._reaches / weights.sum(1, keepdims=True)

    def first_place(self, weights: np.ndarray, precision: float) -> np.ndarray:
        """Find the index `[resample]` of the lowest threshold that is precise enough, or -1.

        A higher threshold may be less precise. The lowest threshold keeps the most captions.
        """
        enough = (self.precision(weights) >= precision) & (weights @ self._reaches >= MIN_KEPT)
        return np.where(enough.any(1), enough.argmax(1), -1)

    @cached_property
    def _shuffled(self) -> np.ndarray:
        """How many shuffled pairs of each caption reach each threshold `[caption, threshold]`."""
        rows = zip(self._scored.shuffled, self._scored.unrelated, strict=True)
        counts = [
            others.sum() - np.searchsorted(np.sort(scores[others]), self.thresholds)
            for scores, others in rows
        ]
        return np.stack(counts).astype(np.float64)


def find_threshold(
    scored: ScoredPairs, precision: float, prior: float, seed: int = 0
) -> Threshold | None:
    """Find the threshold for a precision.

    Returns None if no threshold reaches the precision and keeps at least `MIN_KEPT` captions.
    """
    curve = PrecisionCurve(scored, prior)
    captions = len(scored.matched)
    once = np.ones((1, captions))
    [place] = curve.first_place(once, precision)
    if place < 0:
        return None
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(captions, np.full(captions, 1 / captions), size=_RESAMPLES)
    places = curve.first_place(drawn.astype(np.float64), precision)
    low, high = np.quantile(curve.thresholds[places[places >= 0]], (0.025, 0.975))
    return Threshold(
        score=float(curve.thresholds[place]),
        low=float(low),
        high=float(high),
        precision=float(curve.precision(once)[0, place]),
        kept_share=float(curve.kept_share(once)[0, place]),
    )


def measure_length_bias(scores: np.ndarray, words: np.ndarray) -> float | None:
    """Compute Spearman's correlation of the scores with the number of words of the captions.

    None if all captions have the same length, all scores are equal, or there are fewer than three.
    """
    return spearman(scores, words) if len(scores) >= 3 else None


def score_percentiles(scores: np.ndarray) -> dict[str, float]:
    """Compute percentiles of the scores. The keys are the percentages."""
    values = np.percentile(scores, PERCENTS)
    return {str(percent): float(value) for percent, value in zip(PERCENTS, values, strict=True)}
