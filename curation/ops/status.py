"""Reads the status of a run from the run's folder, without a cluster.

Times are Unix times of the workers' and the driver's clocks. If a clock is wrong, rates and the
estimated remaining time are wrong.
"""

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from curation import table
from curation.catalog.audio_files import format_unread
from curation.config.policy import Policy
from curation.config.run import RunConfig
from curation.ops import prices
from curation.run import driver_state, footer_cache, layout, plan
from curation.run import evidence as run_evidence
from curation.run.layout import RunFolder
from curation.run.record import require_run_record
from curation.run.resolve import recorded_config
from curation.select.policy import expected_yield
from curation.units import format_span

# The recent rate is over at least so long, and over so many times the median shard's time.
RECENT_WINDOW_S = 600.0
RECENT_WINDOW_SHARDS = 3
# A shard that took so many times as long a clip as the median shard is slow.
SLOW_RATIO = 2.0
MAX_SLOW_SHARDS = 5


@dataclass(frozen=True)
class SlowShard:
    shard: int
    seconds: float  # from its first worker's beginning to its file
    times_median: float


@dataclass(frozen=True)
class RunStatus:
    """The progress of a run, its outcomes, speed and cost, and the driver's state.

    Rates are in clips per second. A value is None if it is unknown: because no shard is done yet,
    the evidence has no times, the YAML has no prices, or only `select` can count the policy's
    pairs.
    """

    run: str
    plan: plan.Plan
    shards_done: int
    clips_done: int
    counts: run_evidence.ShardCounts
    pairs_per_clip: float | None  # accepted, of the clips done: by the table, else by the policy
    rate: float | None
    recent_rate: float | None
    remaining_s: float | None
    dollars: float | None
    slow: tuple[SlowShard, ...]
    driver: driver_state.DriverState | None
    now_s: float
    version: table.TableVersion | None
    unlisted_files: int  # audio files in the catalog's folder that no clip is listed for
    unread_files: dict[str, int]  # other files there, by extension

    @property
    def complete(self) -> bool:
        return self.shards_done == self.plan.shards

    @property
    def message(self) -> str:
        """One sentence that states whether a driver is working, and if not, why."""
        driver = self.driver
        if driver is None:
            return "evidence for the whole plan" if self.complete else "no driver has worked on it"
        ago = format_span(self.now_s - driver.heartbeat_s)
        at = datetime.fromtimestamp(driver.heartbeat_s, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        if driver.is_dead(self.now_s):
            return (
                f"the driver's last heartbeat was at {at} ({ago} ago): it was killed, or its "
                "machine is gone; the same command goes on from there"
            )
        if driver.state == "running":
            return f"running, last heartbeat {ago} ago"
        if driver.state == "stopped":
            return f"stopped {at}: {driver.reason}"
        return f"annotated to its end {at}"

    def to_fields(self) -> dict[str, object]:
        """Return the status for people to read, one line per field."""
        counts, fields = self.counts, dict[str, object]()
        fields["state"] = self.message
        fields["shards"] = f"{self.shards_done} of {self.plan.shards}"
        fields["clips"] = f"{self.clips_done} of {self.plan.clips}"
        if self.unlisted_files:
            fields["unlisted files"] = f"{self.unlisted_files:,}"
        if self.unread_files:
            fields["not read as audio"] = format_unread(self.unread_files)
        fields["ok"] = counts.ok
        fields |= {f"error {kind}": clips for kind, clips in counts.failures.items()}
        fields |= {
            f"second draw failed {kind}": clips
            for kind, clips in counts.failed_second_draws.items()
        }
        if counts.missing:
            fields["without audio"] = counts.missing
        if self.pairs_per_clip is not None:
            fields["pairs"] = f"{self.pairs_per_clip:.3f} per clip"
        if self.rate is not None:
            late = f", {self.recent_rate:.1f} recently" if self.recent_rate else ""
            fields["rate"] = f"{self.rate:.1f} clips/s{late}"
        if self.remaining_s:
            fields["time left"] = format_span(self.remaining_s)
        if self.dollars is not None:
            fields["cost so far"] = f"${self.dollars:,.2f}"
        fields |= {f"storage {kind}": times for kind, times in counts.faults.items()}
        for each in self.slow:
            fields[f"slow shard {each.shard}"] = (
                f"{format_span(each.seconds)}, {each.times_median:.1f} times the median a clip"
            )
        version = self.version
        fields["table"] = f"version {version.version}, {version.rows} pairs" if version else "none"
        return fields

    def to_dict(self) -> dict[str, Any]:
        """Return the status for programs: every field, and `message`."""
        driver = self.driver.to_dict() if self.driver else None
        fields = {**asdict(self), "driver": driver}
        return {**fields, "complete": self.complete, "message": self.message}


def read_status(
    run: RunFolder, config: RunConfig | None = None, now_s: float | None = None
) -> RunStatus:
    """Read a run's status.

    Args:
        config: states prices and policy; by default the configuration in the run's folder.
        now_s: the Unix time in seconds, by default the current time.

    Raises:
        InputError: there is no run.
    """
    record = require_run_record(run)
    config = config or recorded_config(run, record)
    planned = plan.plan_from_record(record)
    driver = driver_state.read_driver_state(run)
    now_s = datetime.now(UTC).timestamp() if now_s is None else now_s
    evidence = run_evidence.list_evidence_files(run)
    footers = {
        s: f for s, f in footer_cache.read_footers(run, evidence).items() if s < planned.shards
    }
    counts = run_evidence.sum_counts([footer.counts for footer in footers.values()])
    version = table.read_newest_version(run.storage, layout.table_uri(run.uri))
    shards = [_Timed.of(shard, footer) for shard, footer in footers.items() if footer.spans]
    rate, late = _rate(shards), _recent_rate(shards, driver, now_s)
    expected = late or rate
    left = planned.clips - counts.clips
    return RunStatus(
        run=run.uri,
        plan=planned,
        shards_done=len(footers),
        clips_done=counts.clips,
        counts=counts,
        pairs_per_clip=_selected_pairs_per_clip(version, planned)
        if version
        else _expected_pairs_per_clip(config.select, footers.values(), counts),
        rate=rate,
        recent_rate=late,
        remaining_s=left / expected if expected else None,
        dollars=_cost_dollars(config, shards),
        slow=_slow_shards(shards),
        driver=driver,
        now_s=now_s,
        version=version,
        unlisted_files=record.coverage.get("unlisted_files", 0),
        unread_files=record.unread_files,
    )


@dataclass(frozen=True)
class _Timed:
    shard: int
    clips: int
    spans: tuple[run_evidence.WorkSpan, ...]

    @classmethod
    def of(cls, shard: int, footer: run_evidence.ShardFooter) -> "_Timed":
        return cls(shard, footer.counts.clips, footer.spans)

    @property
    def started_s(self) -> float:
        return self.spans[0].started_s

    @property
    def ended_s(self) -> float:
        return self.spans[-1].ended_s

    @property
    def seconds(self) -> float:
        return self.ended_s - self.started_s


def _rate(shards: list[_Timed]) -> float | None:
    """Over the time in which any shard was worked on, so that a pause of the run is no slowness."""
    worked_s, until_s = 0.0, -math.inf
    for shard in sorted(shards, key=lambda each: each.started_s):
        worked_s += max(0.0, shard.ended_s - max(until_s, shard.started_s))
        until_s = max(until_s, shard.ended_s)
    return sum(shard.clips for shard in shards) / worked_s if worked_s > 0 else None


def _recent_rate(
    shards: list[_Timed], driver: driver_state.DriverState | None, now_s: float
) -> float | None:
    """By the shards that ended in the last minutes; None if nothing is at work for so long."""
    if driver is None or driver.state != "running" or driver.is_dead(now_s):
        return None
    begun_s = min((s.started_s for s in shards if s.started_s >= driver.started_s), default=now_s)
    usual_s = float(np.median([shard.seconds for shard in shards])) if shards else 0.0
    window_s = max(RECENT_WINDOW_S, RECENT_WINDOW_SHARDS * usual_s)
    if begun_s > now_s - window_s:
        return None
    return sum(shard.clips for shard in shards if shard.ended_s > now_s - window_s) / window_s


def worker_hours(spans: Iterable[run_evidence.WorkSpan]) -> dict[str, float]:
    """Compute the worker hours of each pool.

    A worker's time starts with its first shard and ends with its last shard.
    """
    held: defaultdict[tuple[str, str], list[float]] = defaultdict(lambda: [math.inf, -math.inf])
    for span in spans:
        times = held[span.pool, span.worker]
        times[:] = min(times[0], span.started_s), max(times[1], span.ended_s)
    hours: defaultdict[str, float] = defaultdict(float)
    for (pool, _), (started_s, ended_s) in held.items():
        hours[pool] += (ended_s - started_s) / 3600
    return dict(hours)


def _cost_dollars(config: RunConfig, shards: list[_Timed]) -> float | None:
    if not (config.prices.gpu_hour or config.prices.cpu_hour):
        return None
    hours = worker_hours(span for shard in shards for span in shard.spans)
    return sum(prices.actor_hour_price(config, pool) * of for pool, of in hours.items())


def _slow_shards(shards: list[_Timed]) -> tuple[SlowShard, ...]:
    if not shards:
        return ()
    a_clip = np.array([shard.seconds / max(1, shard.clips) for shard in shards])
    times = a_clip / max(float(np.median(a_clip)), 1e-9)
    slowest = [
        int(place) for place in np.argsort(-times)[:MAX_SLOW_SHARDS] if times[place] > SLOW_RATIO
    ]
    return tuple(
        SlowShard(shards[place].shard, shards[place].seconds, float(times[place]))
        for place in slowest
    )


def _selected_pairs_per_clip(version: table.TableVersion, planned: plan.Plan) -> float | None:
    shards = version.lineage.get("shards", 0)
    clips = min(planned.clips, shards * planned.shard_clips)
    return version.rows / clips if clips else None


def _expected_pairs_per_clip(
    policy: Policy, footers: Iterable[run_evidence.ShardFooter], counts: run_evidence.ShardCounts
) -> float | None:
    """Pairs per clip by the counts in the footers; None if only a selection can say."""

    def clips_scoring(score: float) -> int:
        least = math.ceil(score * 100 - 1e-9)
        best = (each.best_scores.items() for each in footers)
        return sum(n for scores in best for percent, n in scores if percent >= least)

    return expected_yield(policy, counts.ok, counts.clips, clips_scoring)
