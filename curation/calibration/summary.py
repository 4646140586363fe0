"""Summarizes the results of a calibration as tables for people and JSON for programs."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np

from curation.calibration import thresholds
from curation.calibration.thresholds import ScoredPairs, Source, Threshold
from curation.errors import InputError
from curation.stats import auc

# What a precision rests on, by what the captions are.
ESTIMATORS: dict[Source, str] = {
    "judged": "the share of right captions among those judged",
    "true": "an upper bound, as if the given captions, all right, stood for {prior:.0%} among "
    "wrong ones that score as shuffled ones do",
    "written": "an upper bound, as if {prior:.0%} of the captions were right and the wrong ones "
    "scored as shuffled ones do",
}


@dataclass(frozen=True)
class ScoreDistribution:
    """The distribution of the scores of matched or of shuffled pairs.

    `length_correlation` is Spearman's correlation of the scores with the numbers of words.
    """

    pairs: int
    mean: float
    deviation: float
    percentiles: dict[str, float]
    length_correlation: float | None

    def figures(self) -> dict[str, str]:
        """Format the statistics for people: name and value."""
        bias = self.length_correlation
        return {
            "pairs": f"{self.pairs:,}",
            "mean": f"{self.mean:.3f}",
            "standard deviation": f"{self.deviation:.3f}",
            **{f"{percent} % score below": f"{v:.3f}" for percent, v in self.percentiles.items()},
            "correlation with words": "none" if bias is None else f"{bias:+.3f}",
        }


@dataclass(frozen=True)
class Calibration:
    """The results of calibrating a scorer.

    Attributes:
        auc: probability that a matched pair has a higher score than a shuffled pair.
        judged_auc: probability that a right caption has a higher score than a wrong one; None if
            the captions are not judged.
        threshold: the threshold for the precision; None if no score is precise enough.
    """

    scorer: dict[str, str]
    source: Source
    captions: int
    clips: int
    prior: float
    precision: float
    auc: float
    judged_auc: float | None
    matched: ScoreDistribution
    shuffled: ScoreDistribution
    threshold: Threshold | None

    @property
    def estimator(self) -> str:
        """A phrase that states how the precision is estimated."""
        return ESTIMATORS[self.source].format(prior=self.prior)

    def to_json(self) -> bytes:
        fields = {**asdict(self), "estimator": self.estimator}
        return json.dumps(fields, indent=2, ensure_ascii=False).encode() + b"\n"

    def rows(self) -> list[list[str]]:
        """Format the statistics as rows for people: name, matched pairs, shuffled pairs."""
        shuffled = self.shuffled.figures()
        return [[name, value, shuffled[name]] for name, value in self.matched.figures().items()]

    def sentences(self) -> Iterator[str]:
        """Format the results as sentences, with the line of run.yaml that sets the threshold."""
        yield f"a matched pair outscores a shuffled one with probability {self.auc:.3f}"
        if self.judged_auc is not None:
            yield f"a right caption outscores a wrong one with probability {self.judged_auc:.3f}"
        found = self.threshold
        if found is None:
            yield f"no threshold keeps {thresholds.MIN_KEPT} captions at {self.precision:.0%}"
        else:
            yield (
                f"from {found.score:.3f} on (95 % of resamples: {found.low:.3f} to "
                f"{found.high:.3f}) precision is {found.precision:.1%}, and "
                f"{found.kept_share:.1%} of the captions are kept"
            )
            yield f"in run.yaml: select: {{min_score: {found.score:.3f}}}"
        yield f"precision is {self.estimator}"


def summarize_calibration(
    scored: ScoredPairs, scorer: dict[str, str], prior: float, precision: float
) -> Calibration:
    """Compute the results from the scores of pairs. Raises InputError if no pair is shuffled."""
    shuffled, right = scored.shuffled_pairs, scored.right
    if not len(shuffled):
        raise InputError(
            f"each of the {len(scored.matched)} captions belongs to every clip, so that no pair "
            "can be shuffled; give more clips, of more classes"
        )
    return Calibration(
        scorer=scorer,
        source=scored.source,
        captions=len(scored.matched),
        clips=scored.unrelated.shape[1],
        prior=prior,
        precision=precision,
        auc=auc(scored.matched, shuffled),
        judged_auc=None if right is None else auc(scored.matched[right], scored.matched[~right]),
        matched=_distribution(scored.matched, scored.words),
        shuffled=_distribution(shuffled, scored.shuffled_words),
        threshold=thresholds.find_threshold(scored, precision, prior),
    )


def _distribution(scores: np.ndarray, words: np.ndarray) -> ScoreDistribution:
    return ScoreDistribution(
        pairs=len(scores),
        mean=float(scores.mean()),
        deviation=float(scores.std()),
        percentiles=thresholds.score_percentiles(scores),
        length_correlation=thresholds.measure_length_bias(scores, words),
    )
