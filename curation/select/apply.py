"""Reads evidence, applies the policy, writes every decision, and commits the accepted pairs."""

import hashlib
import io
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curation import table
from curation.config.run import RunConfig
from curation.errors import InputError
from curation.run import evidence as run_evidence
from curation.run import layout, plan
from curation.run.code_version import read_code_version
from curation.run.layout import RunFolder
from curation.run.record import (
    RunRecord,
    format_model_name,
    read_package_versions,
    require_run_record,
)
from curation.schema import PAIR_SCHEMA, PAIR_SCHEMA_WITH_AUDIO
from curation.select import policy
from curation.select.tag_groups import group_by_rarest_tag

if TYPE_CHECKING:
    from curation.select.audio_embedder import AudioEmbedder

PAIRS_PER_BATCH = 64
# Of evidence, what pairs are made of; the hash is for audio that is read again.
_PAIR_COLUMNS = [
    "clip_id", "uri", "start_s", "end_s", "audio_sha256", "tags", "guidance", "candidates",
]  # fmt: skip


@dataclass(frozen=True)
class Selection:
    """The result of applying a policy to a run's evidence."""

    version: table.TableVersion
    shards_done: int
    shards: int
    candidates: int
    reasons: dict[str, int]
    clips: int
    clips_accepted: int
    lowest_accepted: float | None


@dataclass
class _CandidateColumns:
    """The columns of evidence that decisions need, collected shard by shard."""

    clip_ids: list[pa.Array] = field(default_factory=list)
    clip_tags: list[list[str]] = field(default_factory=list)
    clip: list[np.ndarray] = field(default_factory=list)
    clap_score: list[np.ndarray] = field(default_factory=list)
    second_score: list[np.ndarray] = field(default_factory=list)
    log_prob: list[np.ndarray] = field(default_factory=list)
    candidates_a_shard: list[int] = field(default_factory=list)


def select_pairs(
    config: RunConfig, partial: bool = False, on_pairs: Callable[[int, int], None] | None = None
) -> Selection:
    """Apply the policy of a configuration to a run's evidence, and commit the accepted pairs.

    Args:
        config: only the sections `run`, `select` and `table` are used.
        partial: allow evidence that does not cover the whole plan yet.
        on_pairs: called with the numbers of written and of accepted pairs, while the table is
            written.

    Raises:
        InputError: the run is not planned, or not fully annotated while `partial` is not set. Or
            audio is to be embedded, and is missing or has changed since it was annotated.
    """
    run = RunFolder.from_config(config)
    record = require_run_record(run)
    planned = plan.plan_from_record(record)
    shards = run_evidence.list_done_shards(run)
    if not shards or (len(shards) < planned.shards and not partial):
        raise InputError(
            f"{config.run}: {len(shards)} of {planned.shards} shards have evidence; run tagscribe "
            "annotate to its end" + (", or select with --partial" if shards else "")
        )
    read = _read_candidates(run, shards)
    candidates = policy.Candidates(
        clip=np.concatenate(read.clip),
        clap_score=np.concatenate(read.clap_score),
        second_score=np.concatenate(read.second_score),
        log_prob=np.concatenate(read.log_prob),
        clip_tag=group_by_rarest_tag(read.clip_tags),
    )
    policy.require_scores(candidates, config.select)
    decisions = policy.decide(candidates, config.select)
    lineage = _lineage(config, record, shards)
    _write_decisions(run, lineage["selection"], read, candidates, decisions)
    version = table.commit_table(
        run.storage,
        layout.table_uri(run.uri),
        PAIR_SCHEMA if config.table.audio == "reference" else PAIR_SCHEMA_WITH_AUDIO,
        lambda: _iter_pairs(config, record, shards, read.candidates_a_shard, decisions, on_pairs),
        lineage,
    )
    accepted = decisions.accepted
    return Selection(
        version=version,
        shards_done=len(shards),
        shards=planned.shards,
        candidates=len(accepted),
        reasons=dict(Counter(decisions.reason.tolist())),
        clips=len(read.clip_tags),
        clips_accepted=len(np.unique(candidates.clip[accepted])),
        lowest_accepted=float(decisions.score[accepted].min()) if accepted.any() else None,
    )


def _read_candidates(run: RunFolder, shards: list[int]) -> _CandidateColumns:
    read = _CandidateColumns()
    columns = ["clip_id", "tags", "candidates"]
    for evidence in run_evidence.read_evidence_shards(run, shards, columns):
        candidates = evidence["candidates"].combine_chunks()
        flat = candidates.flatten()
        before = len(read.clip_tags)
        read.clip_ids.append(evidence["clip_id"].combine_chunks())
        read.clip_tags.extend([tag["mid"] for tag in row] for row in evidence["tags"].to_pylist())
        read.clip.append(before + pc.list_parent_indices(candidates).to_numpy())
        for name in ("clap_score", "second_score", "log_prob"):
            values = pc.struct_field(flat, name).to_numpy(zero_copy_only=False)
            getattr(read, name).append(values.astype(np.float64))
        read.candidates_a_shard.append(len(flat))
    return read


def _lineage(config: RunConfig, record: RunRecord, shards: list[int]) -> dict[str, Any]:
    """What the version was made from; `selection` is its hash, and names the decisions' file."""
    lineage = {
        "policy": config.select.model_dump(mode="json"),
        "table": config.table.model_dump(mode="json"),
        "config_hash": record.config_hash,
        "plan_hash": record.plan_hash,
        "shards": len(shards),
        "shards_planned": record.shards,
        **record.models,
        "tagscribe": read_package_versions()["tagscribe"],
    }
    listing = json.dumps([lineage, shards], sort_keys=True).encode()
    selection = hashlib.sha256(listing).hexdigest()[:16]
    return {**lineage, "selection": selection, "code": read_code_version()}


def _write_decisions(
    run: RunFolder,
    selection: str,
    read: _CandidateColumns,
    candidates: policy.Candidates,
    decisions: policy.Decisions,
) -> None:
    """One row per candidate: its place in the evidence, its score, and why it was taken or not."""
    clip_ids = pa.chunked_array(read.clip_ids)
    first = np.r_[0, np.flatnonzero(np.diff(candidates.clip)) + 1] if len(candidates.clip) else []
    position = np.arange(len(candidates.clip)) - np.repeat(
        first, np.diff(np.r_[first, len(candidates.clip)]).astype(int)
    )
    rows = pa.table(
        {
            "clip_id": clip_ids.take(pa.array(candidates.clip)),
            "candidate": pa.array(position.astype(np.int32)),
            "score": pa.array(decisions.score),
            "rank": pa.array(decisions.rank),
            "accepted": pa.array(decisions.accepted),
            "reason": pa.array(decisions.reason.tolist(), pa.string()).dictionary_encode(),
        }
    )
    buffer = io.BytesIO()
    pq.write_table(rows, buffer, compression="zstd")
    run.storage.put(layout.decisions_uri(run.uri, selection), buffer.getvalue())


def _iter_pairs(
    config: RunConfig,
    record: RunRecord,
    shards: list[int],
    candidates_a_shard: list[int],
    decisions: policy.Decisions,
    on_pairs: Callable[[int, int], None] | None,
) -> Iterator[pa.RecordBatch]:
    """The accepted pairs as record batches, shard by shard, each clip's pairs best first."""
    total, written, start = int(decisions.accepted.sum()), 0, 0
    embedder = _build_embedder(config) if config.table.audio == "embed" else None
    for evidence, count in zip(
        run_evidence.read_evidence_shards(RunFolder.from_config(config), shards, _PAIR_COLUMNS),
        candidates_a_shard,
        strict=True,
    ):
        part = slice(start, start + count)
        start += count
        pairs = _accepted_pairs(evidence, decisions.accepted[part], decisions.rank[part], record)
        for offset in range(0, pairs.num_rows, PAIRS_PER_BATCH):
            few = pairs.slice(offset, PAIRS_PER_BATCH)
            if embedder:
                few = embedder.embed(few)
            names = PAIR_SCHEMA_WITH_AUDIO.names if embedder else PAIR_SCHEMA.names
            schema = PAIR_SCHEMA_WITH_AUDIO if embedder else PAIR_SCHEMA
            yield from few.select(names).cast(schema).to_batches()
            written += few.num_rows
            if on_pairs:
                on_pairs(written, total)


def _build_embedder(config: RunConfig) -> "AudioEmbedder":
    # Imported here: decoders take longer to import than a small run to select.
    from curation.select.audio_embedder import AudioEmbedder

    return AudioEmbedder(RunFolder.from_config(config).storage, config.table)


def _accepted_pairs(
    evidence: pa.Table, accepted: np.ndarray, rank: np.ndarray, record: RunRecord
) -> pa.Table:
    candidates = evidence["candidates"].combine_chunks()
    clip = pc.list_parent_indices(candidates).to_numpy()
    chosen = np.flatnonzero(accepted)
    chosen = chosen[np.lexsort((rank[chosen], clip[chosen]))]
    rows = evidence.drop_columns("candidates").take(pa.array(clip[chosen]))
    flat = candidates.flatten().take(pa.array(chosen))
    count = len(chosen)
    for name in ("caption", "clap_score", "log_prob"):
        rows = rows.append_column(name, pc.struct_field(flat, name))
    return (
        rows.append_column("rank", pa.array(rank[chosen], pa.int32()))
        .append_column(
            "captioner",
            pa.array([format_model_name(record.models["captioner"])] * count, pa.string()),
        )
        .append_column(
            "scorer", pa.array([format_model_name(record.models["scorer"])] * count, pa.string())
        )
    )
