"""Takes a sample of a planned run through the whole engine, and says what that took and gave.

The sample becomes a small run of its own in a temporary folder, done by the workers' own code in
one process, one pool after the other, and selected by the run's own policy.
"""

import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from curation.annotate import metrics
from curation.annotate.clip import parse_planned_clips
from curation.annotate.task import Task
from curation.annotate.workers import CaptionWorker, DecodeWorker, FusedWorker, ScoreWorker
from curation.config.run import RunConfig
from curation.errors import InputError, RunError
from curation.models import run_models
from curation.run import catalog_plan, layout, plan
from curation.run import evidence as run_evidence
from curation.run.layout import RunFolder
from curation.run.record import require_run_record, write_run_record
from curation.schema import CLIP_SCHEMA
from curation.select import apply
from curation.storage.files import Storage

# The first clips through a model pay for what is set up once; they go through it twice.
WARM_UP_CLIPS = 8


@dataclass(frozen=True, eq=False)
class MeasuredSample:
    """What a sample took and gave. Its clips are those with audio; missing ones cost nothing."""

    clips: int
    ok: int
    accepted: int  # clips with an accepted caption
    pairs: int
    duration_s: np.ndarray  # [clips] heard; 0 where nothing was
    decode_s: np.ndarray  # [clips] of one thread, reading included
    tag_s: np.ndarray  # [batches], verification included; empty where no tag is touched
    caption_s: np.ndarray  # [batches]
    score_s: np.ndarray  # [batches]
    row_bytes: np.ndarray  # [clips] of evidence in memory
    pool_s: dict[str, float]  # that one worker of each pool had the sample
    evidence_bytes: int  # of the sample's shard, without its footer
    footer_bytes: int
    table_bytes: int
    setup_s: float  # to load the models
    cpus: int
    gpus: float
    hardware: str


def measure_run(config: RunConfig, clips: int) -> MeasuredSample:
    """Measure a random sample of a planned run's clips on the hardware at hand.

    That is this process where the run stays on this machine, else one worker of the cluster.

    Raises:
        InputError: no run is planned, or none of its clips has audio.
        RunError: the sample could not be annotated.
    """
    run = RunFolder.from_config(config)
    require_run_record(run)
    drawn = draw_clips(run, clips, config.seed)
    if drawn.num_rows == 0:
        raise InputError(f"{config.run}: no planned clip has audio, so nothing can be measured")
    if config.cluster in ("local", "ray"):
        return measure_sample(config, drawn, os.cpu_count() or 1, torch.cuda.device_count())
    from curation.cluster.remote import run_on_worker  # imports Ray

    return run_on_worker(config, measure_sample, config, drawn)


def draw_clips(run: RunFolder, clips: int, seed: int) -> pa.Table:
    """A random sample of a plan's clips that have audio (CLIP_SCHEMA), in the order of the plan."""
    generator = np.random.default_rng(seed)
    kept = CLIP_SCHEMA.empty_table().append_column("key", pa.array([], pa.float64()))
    for planned in plan.read_plan_clips(run, CLIP_SCHEMA.names):
        keys = pa.array(generator.random(planned.num_rows))
        found = planned.append_column("key", keys).filter(planned["uri"].is_valid())
        both = pa.concat_tables([kept, found])
        if both.num_rows > clips:
            highest = np.partition(both["key"].to_numpy(), clips - 1)[clips - 1]
            both = both.filter(pa.compute.less_equal(both["key"], highest))
        kept = both
    return kept.select(CLIP_SCHEMA.names)


def measure_sample(config: RunConfig, clips: pa.Table, cpus: int, gpus: float) -> MeasuredSample:
    """Annotate and select these clips here, in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        small = _small_run(config, folder, clips)
        tally = metrics.InMemoryMeter()
        begun_s = time.perf_counter()
        workers = _workers(small, tally)
        setup_s = time.perf_counter() - begun_s
        pool_s = _annotate(workers, clips)
        selection = _select(small)
        evidence = run_evidence.read_evidence_shard(RunFolder(folder), 0)
        shard_bytes, footer_bytes = _sizes(layout.shard_uri(folder, 0))
        pairs = selection.version.rows if selection else 0
        return MeasuredSample(
            clips=clips.num_rows,
            ok=run_evidence.count_outcomes(evidence).ok,
            accepted=selection.clips_accepted if selection else 0,
            pairs=pairs,
            duration_s=evidence["duration_s"].fill_null(0.0).to_numpy(),
            decode_s=_seconds(tally, "read") + _seconds(tally, "decode"),
            tag_s=_seconds(tally, "tag"),
            caption_s=_seconds(tally, "caption"),
            score_s=_seconds(tally, "score"),
            row_bytes=np.array([evidence.slice(row, 1).nbytes for row in range(clips.num_rows)]),
            pool_s=pool_s,
            evidence_bytes=shard_bytes - footer_bytes,
            footer_bytes=footer_bytes,
            table_bytes=_table_bytes(layout.table_uri(folder)) if pairs else 0,
            setup_s=setup_s,
            cpus=cpus,
            gpus=gpus,
            hardware=torch.cuda.get_device_name() if torch.cuda.is_available() else "a CPU",
        )


def _small_run(config: RunConfig, folder: str, clips: pa.Table) -> RunConfig:
    """The sample, planned as one shard in a folder of its own."""
    # A fraction of each tag's few clips, rounded up, would be far above the fraction.
    policy = config.select.model_copy(update={"stratify_by": None})
    settings = config.annotate.model_copy(update={"shard_clips": clips.num_rows})
    small = config.model_copy(update={"run": folder, "annotate": settings, "select": policy})
    planned = plan.build_plan(clips, clips.num_rows)
    plan.write_plan(RunFolder(folder), clips, planned)
    models = run_models.build_run_models(config).identities
    write_run_record(RunFolder(folder), catalog_plan.build_run_record(small, planned, models))
    return small


Worker = FusedWorker | DecodeWorker | CaptionWorker | ScoreWorker


class _Gate:
    """A meter that lets nothing through until it is opened."""

    def __init__(self, behind: metrics.Meter) -> None:
        self._behind = behind
        self.open = False

    def record(self, name: str, value: float, **labels: str) -> None:
        if self.open:
            self._behind.record(name, value, **labels)


def _workers(config: RunConfig, tally: metrics.InMemoryMeter) -> dict[str, tuple[Worker, _Gate]]:
    kinds: dict[str, type[Worker]] = {"fused": FusedWorker}
    if config.annotate.placement == "separate":
        kinds = {"decode": DecodeWorker, "caption": CaptionWorker, "score": ScoreWorker}
    made = {}
    for pool, kind in kinds.items():
        gate = _Gate(tally)
        made[pool] = kind(config, _meter_factory(gate)), gate
    return made


def _meter_factory(gate: _Gate) -> Callable[[], metrics.Meter]:
    return lambda: gate


def _annotate(workers: dict[str, tuple[Worker, _Gate]], clips: pa.Table) -> dict[str, float]:
    """Warm the workers up, then send the sample's shard through them; seconds that each had it."""
    warm: Any = parse_planned_clips(clips.slice(0, WARM_UP_CLIPS))
    row: dict[str, Any] = {"task": Task(0, clips.num_rows).to_json()}
    pool_s = {}
    for worker, _ in workers.values():
        warm = worker.run(warm)
    for pool, (worker, gate) in workers.items():
        gate.open = True
        begun_s = time.perf_counter()
        row = worker(row)
        pool_s[pool] = time.perf_counter() - begun_s
        if row["error"]:
            raise RunError(f"the sample could not be annotated: {row['error']}")
    return pool_s


def _select(config: RunConfig) -> apply.Selection | None:
    """The run's own policy over the sample; None where no clip has captions."""
    if not run_evidence.count_outcomes(
        run_evidence.read_evidence_shard(RunFolder(config.run), 0)
    ).ok:
        return None
    return apply.select_pairs(config)


def _seconds(tally: metrics.InMemoryMeter, stage: str) -> np.ndarray:
    return np.array(tally.values(metrics.STAGE_SECONDS, stage=stage))


def _sizes(uri: str) -> tuple[int, int]:
    """Bytes of a Parquet file, and those of its footer."""
    data = Storage().read_bytes(uri)
    return len(data), pq.read_metadata(pa.BufferReader(data)).serialized_size


def _table_bytes(uri: str) -> int:
    """Of the pairs of a table, without the footers of its files, which are few in a large one."""
    files = [file.uri for file in Storage().list_files(uri) if file.uri.endswith(".parquet")]
    return sum(size - footer for size, footer in map(_sizes, files))
