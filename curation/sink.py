"""The sink: one shard becomes one immutable Parquet file, named by the plan alone.

The file's existence is the done-marker, so resume is the plan minus the listing of evidence/, and
a retry or a second run that writes the same shard again changes nothing.
"""

import io
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curation import run, storage
from curation.schema import EVIDENCE_SCHEMA, OK

COUNTS_KEY = b"tagscribe.counts"
_SHARD_NAME = re.compile(r"shard-(\d{5,})\.parquet$")


@dataclass(frozen=True)
class ShardCounts:
    """How a shard's clips ended, as its file's footer tells."""

    ok: int
    errors: dict[str, int]
    # Faults of storage that reading took, by kind; those of its writing stand nowhere.
    faults: dict[str, int] = field(default_factory=dict)

    @property
    def clips(self) -> int:
        return self.ok + sum(self.errors.values())


def count(evidence: pa.Table) -> ShardCounts:
    """Outcomes of a shard's evidence; errors by `stage/type`."""
    failed = evidence.filter(pc.not_equal(evidence["outcome"], OK))
    errors: dict[str, int] = {}
    for error in failed["error"].to_pylist():
        kind = f"{error['stage']}/{error['type']}"
        errors[kind] = errors.get(kind, 0) + 1
    return ShardCounts(evidence.num_rows - failed.num_rows, dict(sorted(errors.items())))


def write_shard(
    run_uri: str, shard: int, evidence: pa.Table, faults: Mapping[str, int] | None = None
) -> ShardCounts:
    """Put a shard's evidence in one atomic step; a file that is already there stays as it is."""
    counts = replace(count(evidence), faults=dict(faults or {}))
    footer = json.dumps(asdict(counts)).encode()
    buffer = io.BytesIO()
    pq.write_table(
        evidence.cast(EVIDENCE_SCHEMA).replace_schema_metadata({COUNTS_KEY: footer}),
        buffer,
        compression="zstd",
    )
    storage.put_new(run.shard_uri(run_uri, shard), buffer.getvalue())
    return counts


def done_shards(run_uri: str) -> list[int]:
    """Numbers of the shards whose evidence is written, ascending."""
    found = (_SHARD_NAME.search(file.uri) for file in storage.list_files(run.evidence_uri(run_uri)))
    return sorted(int(match.group(1)) for match in found if match)


def read_counts(run_uri: str, shards: list[int]) -> list[ShardCounts]:
    """The outcomes of written shards, from their footers alone."""
    with ThreadPoolExecutor(max_workers=16) as pool:
        return list(pool.map(lambda shard: _read_counts(run_uri, shard), shards))


def total(counts: list[ShardCounts]) -> ShardCounts:
    errors: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    for shard in counts:
        errors.update(shard.errors)
        faults.update(shard.faults)
    ok = sum(shard.ok for shard in counts)
    return ShardCounts(ok, dict(sorted(errors.items())), dict(sorted(faults.items())))


def read_shard(run_uri: str, shard: int, columns: list[str] | None = None) -> pa.Table:
    """Evidence of one shard, whole or some columns."""
    with storage.open_input(run.shard_uri(run_uri, shard)) as source:
        return pq.read_table(source, columns=columns)


def read_shards(
    run_uri: str, shards: list[int], columns: list[str] | None = None
) -> Iterator[pa.Table]:
    """Evidence shard by shard, in the order given, read a few shards ahead."""
    with ThreadPoolExecutor(max_workers=4) as pool:
        for start in range(0, len(shards), 8):
            few = shards[start : start + 8]
            yield from pool.map(lambda shard: read_shard(run_uri, shard, columns), few)


def _read_counts(run_uri: str, shard: int) -> ShardCounts:
    with storage.open_input(run.shard_uri(run_uri, shard)) as source:
        metadata = pq.ParquetFile(source).metadata.metadata
    return ShardCounts(**json.loads(metadata[COUNTS_KEY]))
