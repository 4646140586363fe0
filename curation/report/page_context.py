"""What stands in each part of the page, from what was gathered of a run."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import yaml
from markupsafe import Markup

from curation.config.policy import Policy
from curation.ops import prices
from curation.report import charts, funnel, scorer_sections
from curation.report.provenance import describe_provenance
from curation.report.report_data import ReportData
from curation.select.policy import describe

MOST_TAGS = 700
MOST_KINDS = 100


@dataclass(frozen=True)
class PoolCost:
    """Hours of a pool's workers, and what one of them costs."""

    hours: float
    hour: float


def page_context(gathered: ReportData) -> dict[str, Any]:
    """The variables of page.html, but those of the clips to hear."""
    steps, roots, tags = _steps(gathered), gathered.yields.by_root(), gathered.yields.by_tag()
    kinds, record, speed = gathered.errors.kinds(), gathered.record, gathered.speed
    policy = gathered.lineage.get("policy", {})
    return {
        "name": gathered.status.run.rstrip("/").rpartition("/")[2],
        "written": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "facts": _facts(gathered),
        "origin": describe_provenance(record, gathered.config) | {"policy": _policy_text(policy)},
        "status": gathered.status,
        "record": record,
        "lineage": gathered.lineage,
        "steps": steps,
        "ends": gathered.ends.clips(),
        "charts": {
            "funnel": Markup(charts.funnel_chart("funnel-chart", steps)),
            "roots": Markup(charts.root_yield_chart("roots-chart", roots)),
            "speed": Markup(charts.throughput_chart("speed-chart", speed)) if speed else "",
        },
        "scorers": scorer_sections.build_scorer_sections(gathered),
        "roots": roots,
        "tags": tags[:MOST_TAGS],
        "tags_left_out": max(0, len(tags) - MOST_TAGS),
        "errors": kinds[:MOST_KINDS],
        "errors_left_out": max(0, len(kinds) - MOST_KINDS),
        "faults": gathered.status.counts.faults,
        "strata": gathered.strata,
        "pools": {
            pool: PoolCost(hours, prices.actor_hour_price(gathered.config, pool))
            for pool, hours in gathered.hours.items()
        },
        "priced": gathered.status.dollars is not None,
        "dollars": format_dollars,
        "hours": _two_figures,
        "speed_told": _speed_told(gathered),
        "models": record.models,
        "versions": record.versions,
        "configuration": _yaml(_again(gathered)),
    }


def format_dollars(amount: float) -> str:
    """Cents, and of less than a cent two figures."""
    return f"${_two_figures(amount)}"


def _two_figures(amount: float) -> str:
    """Two decimals from a hundredth on, and two figures that are not 0 below."""
    decimals = 2 if amount >= 0.01 or amount <= 0 else 1 - math.floor(math.log10(amount))
    return f"{amount:,.{decimals}f}"


def _steps(gathered: ReportData) -> list[funnel.FunnelStep]:
    status = gathered.status
    return funnel.funnel_steps(
        status.plan.clips,
        status.clips_done,
        gathered.errors.kinds(),
        gathered.scores.reasons,
        status.version.rows if status.version else None,
    )


def _facts(gathered: ReportData) -> dict[str, str]:
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
    facts["cost"] = "no prices set" if status.dollars is None else format_dollars(status.dollars)
    if status.version and status.version.rows and status.dollars is not None:
        facts["cost of 1,000 pairs"] = format_dollars(1000 * status.dollars / status.version.rows)
    return facts


def _again(gathered: ReportData) -> dict[str, Any]:
    """The configuration that makes this table: the run's, with what the selection came from."""
    lineage = gathered.lineage
    selected = {"select": lineage["policy"], "table": lineage["table"]} if lineage else {}
    return {**gathered.record.config, **selected}


def _policy_text(policy: dict[str, Any]) -> str:
    return describe(Policy.model_validate(policy)) if policy else "nothing is selected yet"


def _speed_told(gathered: ReportData) -> str:
    rate = gathered.status.rate
    if rate is None or gathered.speed is None:
        return ""
    begun = datetime.fromtimestamp(gathered.speed.begun_s, UTC).strftime("%Y-%m-%d %H:%M UTC")
    return f"Begun {begun}; {rate:,.1f} clips a second over the time in which any was worked on."


def _yaml(value: Any) -> list[str]:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=100).splitlines()
