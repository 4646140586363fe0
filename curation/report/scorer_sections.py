"""The report's sections on scores: matched and shuffled scores, the threshold, and estimates."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from curation.calibration.run_pairs import ScorerRole
from curation.calibration.summary import ESTIMATORS
from curation.calibration.thresholds import PRIOR, PrecisionCurve, ScoredPairs
from curation.plots import Density
from curation.report import charts
from curation.report.report_data import ReportData
from curation.stats import auc, spearman


@dataclass(frozen=True)
class ScorerSection:
    """The report's section on one score; `chart` is an SVG element."""

    title: str
    model: str
    chart: Markup
    paragraphs: list[str]


def build_scorer_sections(data: ReportData) -> list[ScorerSection]:
    """Build one section for each scorer, and one for the policy's score if no scorer gives it."""
    scores, policy = data.scores, data.lineage.get("policy", {})
    if not len(scores.clap):
        return []
    threshold = _threshold(data, policy)
    by_clap = policy.get("score") == "clap"
    sections = [_scorer(data, "scorer", scores.clap, threshold if by_clap else None)]
    if np.isfinite(scores.second).any():
        least = policy.get("min_second_score")
        second = _scorer(data, "second_scorer", scores.second, least)
        second.paragraphs.append(_agreement_text(data))
        sections.append(second)
    if policy and not by_clap:
        name = policy["score"].replace("_", "-")
        title = f"Score of the policy: {name}"
        drawn = charts.score_chart(
            "policy-chart", title, _densities(scores.score, scores.accepted), threshold
        )
        sections.append(ScorerSection(title, "", Markup(drawn), []))
    return sections


def _scorer(
    data: ReportData, role: ScorerRole, values: np.ndarray, threshold: float | None
) -> ScorerSection:
    title = {"scorer": "CLAP score", "second_scorer": "Score of the second scorer"}[role]
    model = data.record.models.get(role, {})
    densities = _densities(values, data.scores.accepted)
    shuffled = data.shuffled.get(role)
    pairs = shuffled.pairs if shuffled else None
    paragraphs = []
    if pairs:
        densities.append(Density("shuffled", pairs.shuffled_pairs))
        paragraphs.append(_separation_text(pairs))
        if threshold is not None:
            paragraphs.append(_threshold_text(pairs, threshold))
    elif shuffled:
        paragraphs.append(f"No shuffled curve: {shuffled.missing_reason}.")
    name = role.replace("_", "-")
    chart = charts.score_chart(f"{name}-chart", title, densities, threshold, pairs)
    return ScorerSection(title, _model_name(model), Markup(chart), paragraphs)


def _densities(values: np.ndarray, accepted: np.ndarray) -> list[Density]:
    """All captions and, as a role of their area, the accepted ones; those without are none."""
    matched, taken = np.isfinite(values), np.isfinite(values) & accepted
    share = float(taken.sum() / max(1, matched.sum()))
    densities = [
        Density("matched", values[matched]),
        Density("accepted", values[taken], share),
    ]
    return [density for density in densities if len(density.values)]


def _separation_text(pairs: ScoredPairs) -> str:
    shuffled = pairs.shuffled_pairs
    return (
        f"Shuffled are {len(shuffled):,} pairs of the best caption of one of "
        f"{len(pairs.matched):,} random clips with another of these clips, which has no tag in "
        "common with its own. The best caption of a clip outscores a shuffled one with probability "
        f"{auc(pairs.matched, shuffled):.3f}."
    )


def _threshold_text(pairs: ScoredPairs, threshold: float) -> str:
    above = (pairs.shuffled_pairs >= threshold).mean()
    kept = (pairs.matched >= threshold).mean()
    reached = (
        f"{above:.1%} of the shuffled pairs reach the threshold, and {kept:.1%} of the best "
        "captions."
    )
    if not kept:
        return reached
    return (
        f"{reached} Precision from there on is {PrecisionCurve(pairs, PRIOR).at(threshold):.1%}: "
        f"{ESTIMATORS['written'].format(prior=PRIOR)}."
    )


def _agreement_text(data: ReportData) -> str:
    scores = data.scores
    both = np.isfinite(scores.clap) & np.isfinite(scores.second)
    overall = spearman(scores.clap[both], scores.second[both])
    within = scores.agreement[np.isfinite(scores.agreement)]
    correlation = "no correlation" if overall is None else f"{overall:.2f}"
    if not len(within):
        return f"The two scorers' ranks of all captions correlate by {correlation} (Spearman)."
    return (
        f"The two scorers' ranks of all captions correlate by {correlation} (Spearman); those of "
        f"one clip's captions, in the median of {len(within):,} clips, by {np.median(within):.2f}."
    )


def _threshold(data: ReportData, policy: dict[str, Any]) -> float | None:
    """The score from which on captions were taken; None if there is none, or one a tag."""
    if policy.get("min_score") is not None:
        return float(policy["min_score"])
    if policy.get("top_fraction") is None or policy["stratify_by"]:
        return None
    return data.scores.lowest_accepted


def _model_name(identity: dict[str, str]) -> str:
    revision = identity.get("revision")
    return identity.get("model", "") + (f", revision {revision}" if revision else "")
