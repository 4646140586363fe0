"""What stands in each part of the page, from what was gathered of a run."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import yaml
from markupsafe import Markup

from curation.config.policy import Policy
from curation.ops import prices
from curation.report import charts, funnel, scorers
from curation.report.gathered import Gathered
from curation.report.origin import origin
from curation.select.policy import describe

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
        "origin": origin(record, gathered.config) | {"policy": _policy_text(policy)},
        "status": gathered.status,
        "record": record,
        "lineage": gathered.lineage,
        "steps": steps,
        "ends": gathered.ends.clips(),
        "charts": {
            "funnel": Markup(charts.funnel("funnel-chart", steps)),
            "roots": Markup(charts.roots("roots-chart", roots)),
            "speed": Markup(charts.speed("speed-chart", speed)) if speed else "",
        },
        "scorers": scorers.parts(gathered),
        "roots": roots,
        "tags": tags[:MOST_TAGS],
        "tags_left_out": max(0, len(tags) - MOST_TAGS),
        "errors": kinds[:MOST_KINDS],
        "errors_left_out": max(0, len(kinds) - MOST_KINDS),
        "faults": gathered.status.counts.faults,
        "strata": gathered.strata,
        "pools": {
            pool: Cost(hours, prices.actor_hour(gathered.config, pool))
            for pool, hours in gathered.hours.items()
        },
        "priced": gathered.status.dollars is not None,
        "dollars": dollars,
        "hours": _two_figures,
        "speed_told": _speed_told(gathered),
        "models": record.models,
        "versions": record.versions,
        "configuration": _yaml(_again(gathered)),
    }


def dollars(amount: float) -> str:
    """Cents, and of less than a cent two figures."""
    return f"${_two_figures(amount)}"


def _two_figures(amount: float) -> str:
    """Two decimals from a hundredth on, and two figures that are not 0 below."""
    decimals = 2 if amount >= 0.01 or amount <= 0 else 1 - math.floor(math.log10(amount))
    return f"{amount:,.{decimals}f}"


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
    facts["worker-hours"] = _two_figures(sum(gathered.hours.values()))
    facts["cost"] = "no prices set" if status.dollars is None else dollars(status.dollars)
    if status.version and status.version.rows and status.dollars is not None:
        facts["cost of 1,000 pairs"] = dollars(1000 * status.dollars / status.version.rows)
    return facts


def _again(gathered: Gathered) -> dict[str, Any]:
    """The configuration that makes this table: the run's, with what the selection came from."""
    lineage = gathered.lineage
    selected = {"select": lineage["policy"], "table": lineage["table"]} if lineage else {}
    return {**gathered.record.config, **selected}


def _policy_text(policy: dict[str, Any]) -> str:
    return describe(Policy.model_validate(policy)) if policy else "nothing is selected yet"


def _speed_told(gathered: Gathered) -> str:
    rate = gathered.status.rate
    if rate is None or gathered.speed is None:
        return ""
    begun = datetime.fromtimestamp(gathered.speed.begun_s, UTC).strftime("%Y-%m-%d %H:%M UTC")
    return f"Begun {begun}; {rate:,.1f} clips a second over the time in which any was worked on."


def _yaml(value: Any) -> list[str]:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=100).splitlines()
