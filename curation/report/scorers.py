"""What is told of each score: matched against shuffled, the threshold, and what they come to."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from curation.report import charts
from curation.report.charts import Curve
from curation.report.gathered import Gathered

_NO_CURVE = "No shuffled curve: "


@dataclass(frozen=True)
class ScorerPart:
    """What is told of one score."""

    title: str
    model: str
    chart: Markup
    told: str


def parts(gathered: Gathered) -> list[ScorerPart]:
    """What is told of each scorer, and of the policy's score where it is another; none of none."""
    scores, policy = gathered.scores, gathered.lineage.get("policy", {})
    if not len(scores.clap):
        return []
    threshold = _threshold(gathered, policy)
    by_clap = policy.get("score") == "clap"
    told = [_first(gathered, threshold if by_clap else None)]
    if np.isfinite(scores.second).any():
        told.append(_second(gathered, policy.get("min_second_score")))
    if policy and not by_clap:
        title, axis = "Score of the policy", policy["score"].replace("_", "-")
        curves = _curves(scores.score, scores.accepted)
        drawn = charts.distributions("policy-chart", title, axis, curves, threshold)
        told.append(ScorerPart(title, axis, Markup(drawn), ""))
    return told


def _first(gathered: Gathered, threshold: float | None) -> ScorerPart:
    scores, shuffled = gathered.scores, gathered.shuffled
    title, curves = "CLAP score", _curves(scores.clap, scores.accepted)
    if shuffled.missing:
        told = f"{_NO_CURVE}{shuffled.missing}."
    else:
        curves.append(Curve("shuffled", shuffled.scores))
        told = _apart(scores.clap, shuffled.scores, threshold)
    chart = charts.distributions("clap-chart", title, title, curves, threshold)
    return ScorerPart(title, _named(gathered.record.models["scorer"]), Markup(chart), told)


def _second(gathered: Gathered, threshold: float | None) -> ScorerPart:
    scores, title = gathered.scores, "Score of the second scorer"
    curves = _curves(scores.second, scores.accepted)
    chart = charts.distributions("second-chart", title, "second score", curves, threshold)
    told = _NO_CURVE + "of this scorer no embedding of the sounds is kept."
    model = gathered.record.models.get("second_scorer", {})
    return ScorerPart(title, _named(model), Markup(chart), told)


def _curves(values: np.ndarray, accepted: np.ndarray) -> list[Curve]:
    """All candidates and, as a part of their area, the accepted ones; those without are none."""
    matched, taken = np.isfinite(values), np.isfinite(values) & accepted
    share = float(taken.sum() / max(1, matched.sum()))
    curves = [Curve("matched", values[matched]), Curve("accepted", values[taken], share)]
    return [curve for curve in curves if len(curve.values)]


def _apart(matched: np.ndarray, shuffled: np.ndarray, threshold: float | None) -> str:
    ranked = np.sort(shuffled)
    below = np.searchsorted(ranked, matched, "left") + np.searchsorted(ranked, matched, "right")
    told = (
        f"Shuffled are {len(shuffled):,} pairs of a caption with another clip that has no tag in "
        f"common with its own. A matched caption outscores a shuffled one with probability "
        f"{below.mean() / 2 / len(shuffled):.3f}."
    )
    if threshold is None:
        return told
    above, kept = (shuffled >= threshold).mean(), (matched >= threshold).mean()
    return (
        f"{told} {above:.1%} of the shuffled pairs reach the threshold, and {kept:.1%} of the "
        "matched ones."
    )


def _threshold(gathered: Gathered, policy: dict[str, Any]) -> float | None:
    """The score from which on captions were taken; None where there is none, or one a tag."""
    if policy.get("min_score") is not None:
        return float(policy["min_score"])
    if policy.get("keep_top") is None or policy["within"] == "tag":
        return None
    return gathered.scores.lowest_accepted


def _named(model: dict[str, str]) -> str:
    revision = model.get("revision")
    return model.get("model", "") + (f", revision {revision}" if revision else "")
