"""Evidence of a shard: one immutable Parquet file, whose name depends only on the plan.

A shard is done if its file exists. A resumed run annotates the shards of the plan that are not in
the listing of evidence/. If a retry or a second run writes the same shard again, nothing changes.
"""

import io
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curation.errors import FormatError
from curation.run import layout
from curation.run.code_version import format_code_version, read_code_version
from curation.run.layout import RunFolder
from curation.schema import EVIDENCE_SCHEMA, OK
from curation.storage.files import Storage
from curation.storage.local import FileInfo

# See docs/formats.md. A file without a number has format 1.
EVIDENCE_FORMAT = 1
# Of a file's footer: what its rows come to, and what is not of the rows: who worked on it and when.
FORMAT_KEY = b"tagscribe.format"
COUNTS_KEY = b"tagscribe.counts"
WORK_KEY = b"tagscribe.work"
# One request reads so much of a file's end, which holds the whole footer.
_TAIL_BYTES = 64 * 1024
_READERS = 16
_SHARD_NAME = re.compile(r"shard-(\d{5,})\.parquet$")


@dataclass(frozen=True)
class ShardCounts:
    """Outcomes of a shard's clips, from the footer of the shard's file."""

    ok: int
    errors: dict[str, int]
    # Faults of storage that reading took, by kind; those of its writing stand nowhere.
    faults: dict[str, int] = field(default_factory=dict)
    # Clips, all ok, whose second draw (`adaptive`) failed, by `stage/type`.
    failed_second_draws: dict[str, int] = field(default_factory=dict)

    @property
    def clips(self) -> int:
        return self.ok + sum(self.errors.values())

    @property
    def missing(self) -> int:
        """Number of listed clips whose audio was not found."""
        return sum(self.errors.values()) - sum(self.failures.values())

    @property
    def failures(self) -> dict[str, int]:
        """Number of clips with audio that failed, by kind of error."""
        return {kind: n for kind, n in self.errors.items() if not kind.startswith("catalog/")}


class WorkSpan(NamedTuple):
    """The time during which a worker of a pool had a shard, as Unix seconds of its clock."""

    pool: str
    worker: str
    started_s: float
    ended_s: float


@dataclass(frozen=True)
class ShardFooter:
    """The metadata in the footer of a shard's file.

    `best_scores` counts the clips with captions by their best CLAP score, in hundredths, rounded
    down. `code` is the version of the code that wrote the file, from `read_code_version`; empty in
    files that do not state it.
    """

    counts: ShardCounts
    best_scores: dict[int, int]
    spans: tuple[WorkSpan, ...]
    code: dict[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, counts: dict[str, Any], work: dict[str, Any]) -> "ShardFooter":
        """Parse the values of COUNTS_KEY and WORK_KEY in a footer."""
        return cls(
            ShardCounts(
                counts["ok"],
                counts["errors"],
                counts.get("faults", {}),
                counts.get("failed_second_draws", {}),
            ),
            {int(score): clips for score, clips in counts.get("best_scores", {}).items()},
            tuple(WorkSpan(*span) for span in work.get("spans", [])),
            work.get("code", {}),
        )


def count_outcomes(evidence: pa.Table) -> ShardCounts:
    """Count the clips of a shard's evidence by outcome; errors are counted by `stage/type`."""
    failed = evidence.filter(pc.not_equal(evidence["outcome"], OK))
    errors: dict[str, int] = {}
    for error in failed["error"].to_pylist():
        kind = f"{error['stage']}/{error['type']}"
        errors[kind] = errors.get(kind, 0) + 1
    return ShardCounts(evidence.num_rows - failed.num_rows, dict(sorted(errors.items())))


def write_evidence_shard(
    run: RunFolder,
    shard: int,
    evidence: pa.Table,
    spans: Sequence[WorkSpan] = (),
    faults: Mapping[str, int] | None = None,
    failed_second_draws: Mapping[str, int] | None = None,
    held: bool = False,
) -> ShardCounts:
    """Write a shard's evidence in one atomic step; an existing file is not replaced.

    Args:
        spans: the workers that had the shard, and when.
        faults: number of storage faults while the shard was read, by kind.
        failed_second_draws: number of clips whose second draw failed, by error.
        held: the evidence does not count until `release_held_shard`.

    `spans`, `faults` and `failed_second_draws` do not affect the rows or their order.
    """
    counts = replace(
        count_outcomes(evidence),
        faults=dict(faults or {}),
        failed_second_draws=dict(failed_second_draws or {}),
    )
    footer = {**vars(counts), "best_scores": _best_scores(evidence)}
    work = {"code": read_code_version(), "spans": spans}
    metadata = {
        FORMAT_KEY: str(EVIDENCE_FORMAT).encode(),
        COUNTS_KEY: json.dumps(footer).encode(),
        WORK_KEY: json.dumps(work).encode(),
    }
    buffer = io.BytesIO()
    pq.write_table(
        evidence.cast(EVIDENCE_SCHEMA).replace_schema_metadata(metadata),
        buffer,
        compression="zstd",
    )
    if held:
        run.storage.put(layout.held_shard_uri(run.uri, shard), buffer.getvalue())
    else:
        run.storage.put_new(layout.shard_uri(run.uri, shard), buffer.getvalue())
    return counts


def release_held_shard(run: RunFolder, shard: int) -> None:
    """Move held evidence to its final place, so that it counts.

    If there is no held evidence, another driver has released or deleted it. Then the shard is done,
    or will be annotated again.
    """
    uri = layout.held_shard_uri(run.uri, shard)
    with suppress(FileNotFoundError):
        run.storage.put_new(layout.shard_uri(run.uri, shard), run.storage.read_bytes(uri))
        run.storage.delete(uri)


def delete_held_shards(run: RunFolder) -> None:
    """Delete all held evidence; the shards will be annotated again."""
    run.storage.delete_tree(layout.held_uri(run.uri))


def list_evidence_files(run: RunFolder) -> dict[int, FileInfo]:
    """List the evidence file of each finished shard, in the order of the shards' numbers."""
    files = {}
    for file in run.storage.list_files(layout.evidence_uri(run.uri)):
        match = _SHARD_NAME.search(file.uri)
        if match:
            files[int(match.group(1))] = file
    return dict(sorted(files.items()))


def list_done_shards(run: RunFolder) -> list[int]:
    """List the numbers of the shards with evidence, ascending."""
    return list(list_evidence_files(run))


def read_footer_metadata(
    storage: Storage, files: Sequence[FileInfo]
) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Read the values of COUNTS_KEY and WORK_KEY of each file, with one request per file."""
    with ThreadPoolExecutor(max_workers=_READERS) as pool:
        return list(pool.map(partial(_read_footer, storage), files))


def _read_footer(storage: Storage, file: FileInfo) -> tuple[dict[str, Any], dict[str, Any]]:
    tail = storage.read_bytes(file.uri, max(0, file.size_bytes - _TAIL_BYTES), file.size_bytes)
    metadata = pq.read_metadata(pa.BufferReader(tail)).metadata
    _check_format(file.uri, metadata)
    return json.loads(metadata[COUNTS_KEY]), json.loads(metadata.get(WORK_KEY, b"{}"))


def _check_format(uri: str, metadata: Mapping[bytes, bytes]) -> None:
    found = metadata.get(FORMAT_KEY, b"1").decode()
    if found != str(EVIDENCE_FORMAT):
        code = json.loads(metadata.get(WORK_KEY, b"{}")).get("code")
        raise FormatError(
            uri,
            found,
            EVIDENCE_FORMAT,
            f"{format_code_version(code)} wrote it: use that version, or annotate the clips again "
            "in another folder: tagscribe run RUN.YAML",
        )


def _best_scores(evidence: pa.Table) -> dict[int, int]:
    candidates = evidence["candidates"].combine_chunks()
    scores = pc.struct_field(candidates.flatten(), "clap_score").cast(pa.float64())
    by_clip = pa.table({"clip": pc.list_parent_indices(candidates), "score": scores})
    scored = by_clip.filter(pc.fill_null(pc.is_finite(by_clip["score"]), False))
    best = scored.group_by("clip").aggregate([("score", "max")])["score_max"].to_numpy()
    hundredths = np.floor(best * 100).astype(int)
    return dict(sorted(Counter(hundredths.tolist()).items()))


def sum_counts(counts: list[ShardCounts]) -> ShardCounts:
    errors: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    second: Counter[str] = Counter()
    for shard in counts:
        errors.update(shard.errors)
        faults.update(shard.faults)
        second.update(shard.failed_second_draws)
    ok = sum(shard.ok for shard in counts)
    return ShardCounts(ok, *(dict(sorted(each.items())) for each in (errors, faults, second)))


def read_evidence_shard(run: RunFolder, shard: int, columns: list[str] | None = None) -> pa.Table:
    """Read all or some columns of the evidence of one shard.

    Raises FormatError if the format of the file is not EVIDENCE_FORMAT.
    """
    uri = layout.shard_uri(run.uri, shard)
    evidence = run.storage.read_parquet(uri, columns)
    _check_format(uri, evidence.schema.metadata or {})
    return evidence


def read_evidence_shards(
    run: RunFolder, shards: list[int], columns: list[str] | None = None
) -> Iterator[pa.Table]:
    """Read evidence shard by shard, in the given order; a few shards are read ahead."""
    with ThreadPoolExecutor(max_workers=4) as pool:
        for start in range(0, len(shards), 8):
            few = shards[start : start + 8]
            yield from pool.map(lambda shard: read_evidence_shard(run, shard, columns), few)


def flatten_candidates(evidence: pa.Table) -> pa.Table:
    """Return one row per candidate: its clip's `clip_id`, and its caption, method and scores."""
    each = evidence["candidates"].combine_chunks()
    rows = pa.Table.from_struct_array(each.flatten())
    clip_ids = evidence["clip_id"].take(pc.list_parent_indices(each))
    return rows.append_column("clip_id", clip_ids)
