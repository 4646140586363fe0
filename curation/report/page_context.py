"""Builds the variables of the template page.html from the data of a run."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import yaml
from markupsafe import Markup

from curation.catalog.audio_files import format_unread
from curation.config.policy import Policy
from curation.ops import prices
from curation.report import charts, funnel, scorer_sections
from curation.report.provenance import describe_provenance
from curation.report.report_data import ReportData
from curation.select.policy import describe

MAX_TAGS = 700
MAX_ERROR_KINDS = 100


@dataclass(frozen=True)
class PoolCost:
    """Hours of a pool's workers, and the price per hour."""

    hours: float
    hour: float


def page_context(data: ReportData) -> dict[str, Any]:
    """Return the variables of page.html, except those of the example clips."""
    steps, roots, tags = _steps(data), data.yields.by_root(), data.yields.by_tag()
    kinds, record, speed = data.errors.kinds(), data.record, data.throughput
    policy = data.lineage.get("policy", {})
    return {
        "name": data.status.run.rstrip("/").rpartition("/")[2],
        "written": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "facts": _facts(data),
        "origin": describe_provenance(record, data.config) | {"policy": _policy_text(policy)},
        "status": data.status,
        "record": record,
        "lineage": data.lineage,
        "steps": steps,
        "outcomes": data.outcomes.counts(),
        "charts": {
            "funnel": Markup(charts.funnel_chart("funnel-chart", steps)),
            "roots": Markup(charts.root_yield_chart("roots-chart", roots)),
            "throughput": Markup(charts.throughput_chart("speed-chart", speed)) if speed else "",
        },
        "scorers": scorer_sections.build_scorer_sections(data),
        "roots": roots,
        "tags": tags[:MAX_TAGS],
        "tags_omitted": max(0, len(tags) - MAX_TAGS),
        "errors": kinds[:MAX_ERROR_KINDS],
        "error_kinds_omitted": max(0, len(kinds) - MAX_ERROR_KINDS),
        "unread": format_unread(record.unread_files),
        "failed_second_draws": data.status.counts.failed_second_draws,
        "faults": data.status.counts.faults,
        "stratum_clips": data.stratum_clips,
        "pools": {
            pool: PoolCost(hours, prices.actor_hour_price(data.config, pool))
            for pool, hours in data.pool_hours.items()
        },
        "priced": data.status.dollars is not None,
        "dollars": format_dollars,
        "hours": _format_two_digits,
        "throughput_text": _throughput_text(data),
        "models": record.models,
        "versions": record.versions,
        "configuration": _yaml(_reproducing_config(data)),
    }


def format_dollars(amount: float) -> str:
    """Format dollars with cents; amounts below a cent get two significant digits."""
    return f"${_format_two_digits(amount)}"


def _format_two_digits(amount: float) -> str:
    """Two decimals from a hundredth on, and two figures that are not 0 below."""
    decimals = 2 if amount >= 0.01 or amount <= 0 else 1 - math.floor(math.log10(amount))
    return f"{amount:,.{decimals}f}"


def _steps(data: ReportData) -> list[funnel.FunnelStep]:
    status = data.status
    return funnel.funnel_steps(
        status.plan.clips,
        status.clips_done,
        data.errors.kinds(),
        data.scores.reasons,
        status.version.rows if status.version else None,
    )


def _facts(data: ReportData) -> dict[str, str]:
    status = data.status
    facts = {"clips listed": f"{status.plan.clips:,}"}
    if not status.complete:
        facts["annotated so far"] = f"{status.clips_done:,}"
    facts["clips with captions"] = f"{status.counts.ok:,}"
    facts["captions written"] = f"{sum(data.scores.reasons.values()):,}"
    facts["pairs"] = f"{status.version.rows:,}" if status.version else "not selected yet"
    if status.version and status.pairs_per_clip is not None:
        facts["pairs a clip"] = f"{status.pairs_per_clip:.3f}"
    facts["worker-hours"] = _format_two_digits(sum(data.pool_hours.values()))
    facts["cost"] = "no prices set" if status.dollars is None else format_dollars(status.dollars)
    if status.version and status.version.rows and status.dollars is not None:
        facts["cost of 1,000 pairs"] = format_dollars(1000 * status.dollars / status.version.rows)
    return facts


def _reproducing_config(data: ReportData) -> dict[str, Any]:
    """The configuration that makes this table: the run's, with its plan and its selection's."""
    lineage = data.lineage
    selected = {"select": lineage["policy"], "table": lineage["table"]} if lineage else {}
    record = data.record
    annotate = {**record.config["annotate"], "shard_clips": record.shard_clips}
    return {**record.config, "annotate": annotate, **selected}


def _policy_text(policy: dict[str, Any]) -> str:
    return describe(Policy.model_validate(policy)) if policy else "nothing is selected yet"


def _throughput_text(data: ReportData) -> str:
    rate = data.status.rate
    if rate is None or data.throughput is None:
        return ""
    begun = datetime.fromtimestamp(data.throughput.started_s, UTC).strftime("%Y-%m-%d %H:%M UTC")
    return f"Begun {begun}; {rate:,.1f} clips a second over the time in which any was worked on."


def _yaml(value: Any) -> list[str]:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=100).splitlines()
