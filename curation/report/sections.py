"""What stands in each part of the page, from what was gathered of a run."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import yaml
from markupsafe import Markup

from curation import prices
from curation.report import charts, funnel, scorers
from curation.report.gathered import Gathered

MOST_TAGS = 700
MOST_KINDS = 100


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
        "scorers": scorers.parts(gathered),
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
    if policy.get("min_second_score") is not None:
        least = policy["min_second_score"]
        told = f"of the captions whose second score is {least:g} or more, {told}"
    if policy["min_score"] is not None:
        return f"{told}, where it is {policy['min_score']:g} or more."
    if policy["keep_top"] is not None:
        within = "each tag" if policy["within"] == "tag" else "the run"
        return f"{told}, and of those of {within} the best {policy['keep_top']:.0%}."
    return f"{told}, without a threshold."


def _speed_told(gathered: Gathered) -> str:
    rate = gathered.status.rate
    if rate is None or gathered.speed is None:
        return ""
    begun = datetime.fromtimestamp(gathered.speed.begun_s, UTC).strftime("%Y-%m-%d %H:%M UTC")
    return f"Begun {begun}; {rate:,.1f} clips a second over the time in which any was worked on."


def _yaml(value: Any) -> list[str]:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=100).splitlines()
