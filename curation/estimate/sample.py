"""Runs a sample of a planned run through the whole engine, and measures the cost and the results.

The workers of the run annotate the sample, on the hardware that the YAML gives to them
(`pool_measurement`). The sample then becomes a small run in a temporary folder, to which the rules
of selection of the run are applied.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from curation.annotate.clip import AnnotatedClip, parse_planned_clips
from curation.annotate.rows import build_evidence_table, count_read_faults
from curation.config.run import RunConfig
from curation.errors import InputError
from curation.estimate.pool_measurement import PoolMeasurements, measure_pools
from curation.models import run_models
from curation.run import catalog_plan, layout, plan
from curation.run import evidence as run_evidence
from curation.run.layout import RunFolder
from curation.run.record import require_run_record, write_run_record
from curation.schema import CLIP_SCHEMA
from curation.select import apply
from curation.storage.files import Storage


@dataclass(frozen=True, eq=False)
class MeasuredSample:
    """The cost and results of a sample of clips with audio. Clips without audio cost nothing."""

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
    """Measure a random sample of the clips of a planned run, on the hardware of each pool.

    Raises:
        InputError: no run is planned, no planned clip has audio, or the hardware is missing.
        RunError: the sample could not be annotated.
    """
    run = RunFolder.from_config(config)
    require_run_record(run)
    drawn = draw_clips(run, clips, config.seed)
    if drawn.num_rows == 0:
        raise InputError(f"{config.run}: no planned clip has audio, so nothing can be measured")
    return _summarize(config, drawn, measure_pools(config, parse_planned_clips(drawn)))


def draw_clips(run: RunFolder, clips: int, seed: int) -> pa.Table:
    """Draw a random sample of a plan's clips with audio (CLIP_SCHEMA), in the order of the plan."""
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


def _summarize(config: RunConfig, drawn: pa.Table, measured: PoolMeasurements) -> MeasuredSample:
    """What the measured clips come to as evidence and as pairs, in a temporary folder."""
    pools = measured.pools
    with tempfile.TemporaryDirectory() as folder:
        small = _small_run(config, folder, drawn)
        evidence = _write_evidence(RunFolder(folder), measured.clips, list(pools))
        selection = _select(small)
        shard_bytes, footer_bytes = _sizes(layout.shard_uri(folder, 0))
        pairs = selection.version.rows if selection else 0
        return MeasuredSample(
            clips=drawn.num_rows,
            ok=run_evidence.count_outcomes(evidence).ok,
            accepted=selection.clips_accepted if selection else 0,
            pairs=pairs,
            duration_s=evidence["duration_s"].fill_null(0.0).to_numpy(),
            decode_s=measured.stage_s("read") + measured.stage_s("decode"),
            tag_s=measured.stage_s("tag"),
            caption_s=measured.stage_s("caption"),
            score_s=measured.stage_s("score"),
            row_bytes=np.array([evidence.slice(row, 1).nbytes for row in range(drawn.num_rows)]),
            pool_s={pool: each.seconds for pool, each in pools.items()},
            evidence_bytes=shard_bytes - footer_bytes,
            footer_bytes=footer_bytes,
            table_bytes=_table_bytes(layout.table_uri(folder)) if pairs else 0,
            setup_s=sum(each.setup_s for each in pools.values()),
            cpus=measured.cpus,
            gpus=measured.gpus,
            hardware=measured.hardware,
        )


def _write_evidence(run: RunFolder, clips: Sequence[AnnotatedClip], pools: list[str]) -> pa.Table:
    """The evidence of the only shard, as it is read again; its footer names a worker a pool."""
    spans = [run_evidence.WorkSpan(pool, "0" * 12, 0.0, 0.0) for pool in pools]
    rows = build_evidence_table(clips)
    run_evidence.write_evidence_shard(run, 0, rows, spans, count_read_faults(clips))
    return run_evidence.read_evidence_shard(run, 0)


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


def _select(config: RunConfig) -> apply.Selection | None:
    """The run's own policy over the sample; None if no clip has captions."""
    if not run_evidence.count_outcomes(
        run_evidence.read_evidence_shard(RunFolder(config.run), 0)
    ).ok:
        return None
    return apply.select_pairs(config)


def _sizes(uri: str) -> tuple[int, int]:
    """Bytes of a Parquet file, and those of its footer."""
    data = Storage().read_bytes(uri)
    return len(data), pq.read_metadata(pa.BufferReader(data)).serialized_size


def _table_bytes(uri: str) -> int:
    """Of the pairs of a table, without the footers of its files, which are few in a large one."""
    files = [file.uri for file in Storage().list_files(uri) if file.uri.endswith(".parquet")]
    return sum(size - footer for size, footer in map(_sizes, files))
