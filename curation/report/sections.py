"""What stands in each part of the page, from what was gathered of a run."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import yaml
from markupsafe import Markup

from curation import prices
from curation.report import charts, funnel
from curation.report.charts import Curve
from curation.report.gathered import Gathered

MOST_TAGS = 700
MOST_KINDS = 100
_NO_CURVE = "No shuffled curve: "


@dataclass(frozen=True)
class ScorerPart:
    """What is told of one score."""

    title: str
    model: str
    chart: Markup
    told: str


@dataclass(frozen=True)
class Cost:
    """Hours of a pool's workers, and what one of them costs."""

    hours: float
    hour: float


def context(gathered: Gathered) -> dict[str, Any]:
    """The variables of page.html, but those of the clips to hear."""
    steps, roots, tags = _steps(gathered), gathered.yields.by_root(), gathered.yields.by_tag()
    kinds, record, speed = gathered.errors.kinds(), gathered.record, gathered.speed
    policy = gathered.lineage.get("policy", {})
    return {
        "name": gathered.status.run.rstrip("/").rpartition("/")[2],
        "written": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "facts": _facts(gathered),
        "status": gathered.status,
        "record": record,
        "lineage": gathered.lineage,
        "steps": steps,
        "charts": {
            "funnel": Markup(charts.funnel("funnel-chart", steps)),
            "roots": Markup(charts.roots("roots-chart", roots)),
            "speed": Markup(charts.speed("speed-chart", speed)) if speed else "",
        },
        "policy_told": _policy_told(policy),
        "scorers": _scorers(gathered),
        "roots": roots,
        "tags": tags[:MOST_TAGS],
        "tags_left_out": max(0, len(tags) - MOST_TAGS),
        "errors": kinds[:MOST_KINDS],
        "errors_left_out": max(0, len(kinds) - MOST_KINDS),
        "faults": gathered.status.counts.faults,
        "pools": {
            pool: Cost(hours, prices.actor_hour(gathered.config, pool))
            for pool, hours in gathered.hours.items()
        },
        "priced": gathered.status.dollars is not None,
        "dollars": dollars,
        "speed_told": _speed_told(gathered),
        "models": record.models,
        "versions": record.versions,
        "policy": _yaml(policy),
        "configuration": _yaml(record.config),
    }


def dollars(amount: float) -> str:
    """Cents from a dollar on, three figures below."""
    return f"${amount:,.2f}" if amount >= 1 or amount == 0 else f"${amount:.3g}"


def _steps(gathered: Gathered) -> list[funnel.Step]:
    status = gathered.status
    return funnel.steps(
        status.plan.clips,
        status.clips_done,
        gathered.errors.kinds(),
        gathered.scores.reasons,
        status.version.rows if status.version else None,
    )


def _facts(gathered: Gathered) -> dict[str, str]:
    status = gathered.status
    facts = {"clips listed": f"{status.plan.clips:,}"}
    if not status.complete:
        facts["annotated so far"] = f"{status.clips_done:,}"
    facts["clips with captions"] = f"{status.counts.ok:,}"
    facts["captions written"] = f"{sum(gathered.scores.reasons.values()):,}"
    facts["pairs"] = f"{status.version.rows:,}" if status.version else "not selected yet"
    if status.version and status.pairs_a_clip is not None:
        facts["pairs a clip"] = f"{status.pairs_a_clip:.3f}"
    if status.version and status.version.rows and status.dollars is not None:
        facts["cost of 1,000 pairs"] = dollars(1000 * status.dollars / status.version.rows)
    facts["worker-hours"] = f"{sum(gathered.hours.values()):,.3f}"
    facts["cost"] = "no prices set" if status.dollars is None else dollars(status.dollars)
    return facts


def _policy_told(policy: dict[str, Any]) -> str:
    """The policy in a sentence."""
    if not policy:
        return "nothing is selected yet."
    by = {"clap": "the CLAP score", "log_prob": "the captioner's log-probability a token"}
    score = by.get(policy["score"], "the CLAP score and the log-probability, standardised, added")
    best = policy["per_clip"]
    told = f"the best {best if best > 1 else 'caption'} of each clip by {score}"
    if policy["min_score"] is not None:
        return f"{told}, where it is {policy['min_score']:g} or more."
    if policy["keep_top"] is not None:
        within = "each tag" if policy["within"] == "tag" else "the run"
        return f"{told}, and of those of {within} the best {policy['keep_top']:.0%}."
    return f"{told}, without a threshold."


def _scorers(gathered: Gathered) -> list[ScorerPart]:
    scores, models = gathered.scores, gathered.record.models
    policy = gathered.lineage.get("policy", {})
    threshold = _threshold(gathered, policy)
    by_clap = policy.get("score") == "clap"
    parts = [
        _part("CLAP score", models["scorer"], scores.clap, gathered, threshold if by_clap else None)
    ]
    if np.isfinite(scores.second).any():
        parts.append(_second(gathered))
    if policy and not by_clap:
        curves = _curves(scores.score, scores.accepted)
        axis = f"the policy's score ({policy['score'].replace('_', '-')})"
        title = "Score of the policy"
        drawn = charts.distributions("policy-chart", title, axis, curves, threshold)
        parts.append(ScorerPart(title, axis, Markup(drawn), ""))
    return parts


def _part(
    title: str, model: dict[str, str], own: np.ndarray, gathered: Gathered, threshold: float | None
) -> ScorerPart:
    shuffled = gathered.shuffled
    curves = _curves(own, gathered.scores.accepted)
    told = _NO_CURVE + shuffled.missing + "."
    if not shuffled.missing:
        curves.append(Curve("shuffled", shuffled.scores))
        told = _apart(own[np.isfinite(own)], shuffled.scores, threshold)
    chart = charts.distributions("clap-chart", title, "CLAP score", curves, threshold)
    return ScorerPart(title, _named(model), Markup(chart), told)


def _second(gathered: Gathered) -> ScorerPart:
    scores, title = gathered.scores, "Score of the second scorer"
    curves = _curves(scores.second, scores.accepted)
    chart = charts.distributions("second-chart", title, "second score", curves, None)
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


def _speed_told(gathered: Gathered) -> str:
    rate = gathered.status.rate
    if rate is None or gathered.speed is None:
        return ""
    begun = datetime.fromtimestamp(gathered.speed.begun_s, UTC).strftime("%Y-%m-%d %H:%M UTC")
    return f"Begun {begun}; {rate:,.1f} clips a second over the time in which any was worked on."


def _named(model: dict[str, str]) -> str:
    revision = model.get("revision")
    return model.get("model", "") + (f", revision {revision}" if revision else "")


def _yaml(value: Any) -> list[str]:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=100).splitlines()
