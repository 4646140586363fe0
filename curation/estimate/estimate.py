"""Estimates the yield, time and cost of a run from a measured sample, and suggests pool sizes.

The bounds contain the estimates from 95 % of samples of the same size. They do not account for a
slower machine, or for storage that is slower under load.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from curation.annotate import pools
from curation.config.run import RunConfig
from curation.estimate.sample import MeasuredSample
from curation.ops import prices
from curation.run.plan import Plan
from curation.select.policy import expected_yield
from curation.stats import wilson_interval
from curation.units import format_bytes, format_span

RESAMPLES = 2000
_MODEL_STAGES = ("tag", "caption", "score")
# What the workers of each pool do.
_STAGES = {
    "fused": ("decode", *_MODEL_STAGES),
    "decode": ("decode",),
    "caption": ("tag", "caption"),
    "score": ("score",),
}


@dataclass(frozen=True)
class Interval:
    """An expected value, and bounds that contain the value in 95 % of samples."""

    value: float
    low: float
    high: float

    def scaled(self, factor: float) -> "Interval":
        return Interval(self.value * factor, self.low * factor, self.high * factor)


@dataclass(frozen=True)
class RunEstimate:
    """The estimates for a whole run. They exclude the start of the cluster and its workers."""

    clips: int
    missing: int
    audio_hours: Interval
    ok_share: Interval  # of the clips with audio
    yield_share: Interval  # the clips with a pair, of all clips
    gpu_hours: Interval
    cpu_hours: Interval  # of workers without a GPU
    wall_s: Interval
    evidence_bytes: Interval
    table_bytes: Interval
    dollars: Interval | None  # for workers and requests; None without prices
    storage_dollars_month: Interval | None
    sizes: dict[str, int]  # the pools as the run has them
    recommended: dict[str, int]
    advice: tuple[str, ...]

    def to_rows(self) -> list[list[str]]:
        """Format the estimates for people: name, expected value, bounds."""
        rows = [
            ["clips", f"{self.clips:,}", ""],
            ["missing", f"{self.missing / self.clips:.1%}", "known"],
            _format_row("hours of audio", self.audio_hours, lambda value: f"{value:,.1f}"),
            _format_row("ok, of clips with audio", self.ok_share, lambda value: f"{value:.1%}"),
            _format_row(
                "yield (clips with a pair)", self.yield_share, lambda value: f"{value:.1%}"
            ),
            _format_row("GPU-hours", self.gpu_hours, lambda value: f"{value:,.2f}"),
            _format_row("CPU-hours", self.cpu_hours, lambda value: f"{value:,.2f}"),
            _format_row("wall time", self.wall_s, format_span),
            _format_row("evidence", self.evidence_bytes, format_bytes),
            _format_row("table", self.table_bytes, format_bytes),
        ]
        if self.dollars:
            rows.append(_format_row("dollars, to run", self.dollars, lambda value: f"{value:,.2f}"))
        if self.storage_dollars_month:
            kept = self.storage_dollars_month
            rows.append(
                _format_row("dollars a month, to keep", kept, lambda value: f"{value:,.2f}")
            )
        return rows


def estimate_run(config: RunConfig, planned: Plan, sample: MeasuredSample) -> RunEstimate:
    """Estimate a planned run, assuming that all clips are like the sample."""
    found = planned.clips - planned.missing
    drawn = _Resampled(sample)
    # Seconds a clip that one worker of each pool takes.
    worker_s = {pool: drawn.worker_s(pool) for pool in sample.pool_s}
    actors = pools.build_pools_by_stage(config.annotate)
    sizes = _sizes(config, sample, actors)
    # The slowest pool says how long a clip takes, or all of them do by what they use of the cores.
    bounds = [worker_s[pool] / size for pool, size in sizes.items()]
    wall = np.max([*bounds, drawn.core_s(config) / sample.cpus], axis=0) * found
    gpus = sum(prices.actor_resources(config, pool).gpus * size for pool, size in sizes.items())
    cpus = sum(_cpus(config, pool) * size for pool, size in sizes.items())
    recommended, advice = _recommend(config, sample, sizes, found / max(wall[0], 1e-9))
    ok = _wilson(sample.ok, sample.clips)
    accepted = _accepted(config, sample, ok).scaled(found / planned.clips)
    table_bytes = accepted.scaled(
        sample.table_bytes / max(1, sample.accepted) * planned.clips if sample.accepted else 0.0
    )
    evidence = drawn.mean(sample.row_bytes) * (sample.evidence_bytes / sample.row_bytes.sum())
    evidence = evidence * found + planned.shards * sample.footer_bytes
    kept = _interval(evidence).scaled(1e-9), table_bytes.scaled(1e-9)
    storage_price = config.prices.storage_gb_month
    return RunEstimate(
        clips=planned.clips,
        missing=planned.missing,
        audio_hours=_interval(drawn.mean(sample.duration_s) * (found / 3600)),
        ok_share=ok,
        yield_share=accepted,
        gpu_hours=_interval(wall * (gpus / 3600)),
        cpu_hours=_interval(wall * (cpus / 3600)),
        wall_s=_interval(wall),
        evidence_bytes=_interval(evidence),
        table_bytes=table_bytes,
        dollars=_dollars(config, planned, sizes, wall),
        storage_dollars_month=Interval(
            *(storage_price * sum(part) for part in zip(*map(_parts, kept), strict=True))
        )
        if storage_price
        else None,
        sizes=sizes,
        recommended=recommended,
        advice=advice,
    )


class _Resampled:
    """Means over resamples of the sample; entry 0 of each array is the sample's own."""

    def __init__(self, sample: MeasuredSample) -> None:
        self._sample = sample
        generator = np.random.default_rng(0)
        self._clips = generator.integers(0, sample.clips, (RESAMPLES, sample.clips))
        self._seed = int(generator.integers(2**31))

    def mean(self, values: np.ndarray) -> np.ndarray:
        """Compute the mean of a value per clip, `[1 + resamples]`."""
        return np.r_[values.mean(), values[self._clips].mean(axis=1)]

    def worker_s(self, pool: str) -> np.ndarray:
        """Compute the seconds per clip of one worker of a pool, `[1 + resamples]`.

        The mean is the measured working time of the worker, divided by the number of clips. The
        relative spread over the resamples is that of the summed times of the pool's stages.
        """
        stages = _STAGES[pool]
        total = np.sum([self._stage_s(stage) for stage in stages], axis=0)
        relative = total / total[0] if total[0] > 0 else np.ones_like(total)
        return relative * (self._sample.pool_s[pool] / self._sample.clips)

    def core_s(self, config: RunConfig) -> np.ndarray:
        """Compute the seconds of CPU cores per clip, summed over all stages, `[1 + resamples]`."""
        threads = 0 if config.annotate.gpus_per_actor else config.annotate.model_threads
        models = sum(self._stage_s(stage) for stage in _MODEL_STAGES)
        return (self._stage_s("decode") + models * threads) / self._sample.clips

    def _stage_s(self, stage: str) -> np.ndarray:
        """Seconds that the whole sample spends in a stage, `[1 + resamples]`."""
        sample = self._sample
        if stage == "decode":
            return self.mean(sample.decode_s) * sample.clips
        batches = {"tag": sample.tag_s, "caption": sample.caption_s, "score": sample.score_s}
        return _total(batches[stage], self._seed)


def _total(seconds: np.ndarray, seed: int) -> np.ndarray:
    """The sum over resampled batches, `[1 + resamples]`."""
    if not len(seconds):
        return np.zeros(1 + RESAMPLES)
    places = np.random.default_rng(seed).integers(0, len(seconds), (RESAMPLES, len(seconds)))
    return np.r_[seconds.sum(), seconds[places].sum(axis=1)]


def _interval(values: np.ndarray) -> Interval:
    low, high = np.percentile(values[1:], [2.5, 97.5])
    return Interval(float(values[0]), float(low), float(high))


def _wilson(hits: int, trials: int) -> Interval:
    """A share and its Wilson interval."""
    share = hits / trials
    return Interval(share, *wilson_interval(share, trials))


def _accepted(config: RunConfig, sample: MeasuredSample, ok: Interval) -> Interval:
    """The share of clips with audio that have an accepted caption."""
    of_ok = expected_yield(config.select, ok=1, clips=1)
    if of_ok is None:
        return _wilson(sample.accepted, sample.clips)
    # Taken by rank: the share of the clips with captions does not depend on the sample.
    return ok.scaled(of_ok)


def _cpus(config: RunConfig, pool: str) -> float:
    """CPUs of an actor without a GPU; those beside a GPU come with it."""
    held = prices.actor_resources(config, pool)
    return 0.0 if held.gpus else held.cpus


def _dollars(
    config: RunConfig, planned: Plan, sizes: dict[str, int], wall_s: np.ndarray
) -> Interval | None:
    """Each pool is held until the last one ends; each clip with audio is read by one request."""
    priced = config.prices
    if not any((priced.gpu_hour, priced.cpu_hour, priced.reads_1000, priced.writes_1000)):
        return None
    an_hour = sum(prices.actor_hour_price(config, pool) * size for pool, size in sizes.items())
    requests = priced.reads_1000 * (planned.clips - planned.missing) / 1000
    requests += priced.writes_1000 * planned.shards / 1000
    return _interval(wall_s / 3600 * an_hour + requests)


def _sizes(
    config: RunConfig, sample: MeasuredSample, actors: dict[str, pools.Pool]
) -> dict[str, int]:
    """The pools at their most; `auto` as the hardware at hand has room."""
    if config.annotate.placement == "separate" or config.annotate.actors != "auto":
        return {stage: pool.max_actors for stage, pool in actors.items()}
    alone = actors["fused"]
    room = int(sample.gpus / alone.gpus) if alone.gpus else sample.cpus // alone.cpus
    return {"fused": max(1, room)}


def _recommend(
    config: RunConfig, sample: MeasuredSample, sizes: dict[str, int], rate: float
) -> tuple[dict[str, int], tuple[str, ...]]:
    """Sizes at which no stage waits for another, and why, in words; `rate` is the run's clips/s."""
    if config.annotate.placement == "fused":
        return _recommend_fused(config, sample, sizes["fused"], rate)
    return _recommend_separate(config, sample, sizes)


def _recommend_fused(
    config: RunConfig, sample: MeasuredSample, actors: int, rate: float
) -> tuple[dict[str, int], tuple[str, ...]]:
    decode_s = sample.decode_s.sum() / sample.clips
    model_s = np.r_[sample.tag_s, sample.caption_s, sample.score_s].sum() / sample.clips
    alone = sample.clips / sample.pool_s["fused"]
    settings = config.annotate
    source = (
        "as the YAML says" if settings.actors != "auto" else "all that the hardware has room for"
    )
    advice = [
        f"An actor alone does {alone:.2f} clips/s: a clip takes {decode_s * 1000:.1f} ms of a "
        f"thread to read and decode, and {model_s * 1000:.1f} ms of the models. {actors} actors, "
        f"{source}, do {rate:.2f} clips/s on {sample.cpus} CPUs."
    ]
    recommended = {"actors": actors}
    if settings.gpus_per_actor:
        threads = max(1, math.ceil(decode_s / max(model_s, 1e-9)))
        recommended["decode_threads"] = threads
        if threads > settings.decode_threads:
            advice.append(
                f"annotate.decode_threads: {threads} instead of {settings.decode_threads}, so that "
                "the models do not wait for sound; each thread wants a CPU beside the actor's."
            )
        else:
            advice.append(
                f"The {settings.decode_threads} decoding threads of an actor keep its models fed."
            )
    else:
        advice.append(
            "Without a GPU, decoding and models share the cores: one actor a core is best."
        )
    return recommended, tuple(advice)


def _recommend_separate(
    config: RunConfig, sample: MeasuredSample, sizes: dict[str, int]
) -> tuple[dict[str, int], tuple[str, ...]]:
    """Around the captioners, which cost most: as many of the others as keep up with them.

    A size that the YAML gives is kept.
    """
    given = config.annotate.pools.model_fields_set
    names = {"decode": "decoders", "caption": "captioners", "score": "scorers"}
    rate = {pool: sample.clips / seconds for pool, seconds in sample.pool_s.items()}
    wanted = rate["caption"] * sizes["caption"]
    recommended, advice = {"captioners": sizes["caption"]}, []
    advice.append(
        f"A captioner does {rate['caption']:.2f} clips/s, a decoder {rate['decode']:.2f}, a scorer "
        f"{rate['score']:.2f}; {sizes['caption']} captioners ask for {wanted:.2f} clips/s."
    )
    for pool in ("decode", "score"):
        name, enough = names[pool], math.ceil(wanted / rate[pool] - 1e-9)
        recommended[name] = sizes[pool] if name in given else enough
        reached = rate[pool] * sizes[pool]
        if sizes[pool] == enough:
            advice.append(f"annotate.pools.{name}: {enough} keep up with them.")
        elif sizes[pool] < enough:
            advice.append(
                f"annotate.pools.{name}: {enough} would keep up; with {sizes[pool]} the captioners "
                f"wait {1 - reached / wanted:.0%} of their time."
            )
        else:
            advice.append(
                f"annotate.pools.{name}: {enough} would keep up; {sizes[pool]} are busy only "
                f"{wanted / reached:.0%} of their time."
            )
        if sizes[pool] != enough and name in given:
            advice.append(f"The YAML's own number, {sizes[pool]}, is kept.")
    return recommended, tuple(advice)


def _parts(bar: Interval) -> tuple[float, float, float]:
    return bar.value, bar.low, bar.high


def _format_row(name: str, bar: Interval, format_value: Callable[[float], str]) -> list[str]:
    return [name, format_value(bar.value), f"{format_value(bar.low)} to {format_value(bar.high)}"]
