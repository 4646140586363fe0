"""The plan: the catalog's listing, made once, cut into fixed shards and hashed.

A file of the plan contains whole shards, one row group per shard, so a worker reads only its own
shard. The file names contain the plan's hash. Drivers that plan one folder at the same time
therefore never change each other's files: equal listings give equal files, and run.json names the
valid plan.
"""

import hashlib
import io
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curation.errors import InputError
from curation.run import layout
from curation.run.layout import RunFolder
from curation.run.record import PLAN_MARK_DIGITS, RunRecord, require_run_record
from curation.schema import CLIP_SCHEMA, PLAN_SCHEMA
from curation.uris import join_uri

SHARDS_PER_FILE = 64


@dataclass(frozen=True)
class Plan:
    """The shards that a run has to annotate: their number, size and hash."""

    clips: int
    missing: int
    shards: int
    shard_clips: int
    hash: str

    @property
    def mark(self) -> str:
        """The part of the plan's hash that is in the names of the plan's files."""
        return self.hash[:PLAN_MARK_DIGITS]

    def shard_size(self, shard: int) -> int:
        return min(self.shard_clips, self.clips - shard * self.shard_clips)


def build_plan(clips: pa.Table, shard_clips: int) -> Plan:
    """Build the plan of a sorted listing of clips (CLIP_SCHEMA)."""
    if clips.num_rows == 0:
        raise InputError("the catalog lists no clips; check its paths and file names")
    return Plan(
        clips=clips.num_rows,
        missing=clips["uri"].null_count,
        shards=-(-clips.num_rows // shard_clips),
        shard_clips=shard_clips,
        hash=hash_plan(clips, shard_clips),
    )


def hash_plan(clips: pa.Table, shard_clips: int) -> str:
    """Compute the SHA-256 over the clips in order and the shard size; equal on all machines."""
    sha = hashlib.sha256(f"shard_clips={shard_clips}\n".encode())
    for batch in clips.to_batches(max_chunksize=65536):
        for row in _as_text(batch).to_pylist():
            sha.update(row.encode() + b"\n")
    return sha.hexdigest()


def write_plan(run: RunFolder, clips: pa.Table, plan: Plan) -> None:
    """Write the files of a plan. They become valid when run.json, written later, names the plan.

    Existing files of this plan and of other plans are kept, because another driver may be using
    them.
    """
    clips = clips.select(CLIP_SCHEMA.names).cast(CLIP_SCHEMA)
    shard = np.arange(plan.clips, dtype=np.int32) // plan.shard_clips
    rows = clips.add_column(0, PLAN_SCHEMA.field("shard"), pa.array(shard))
    rows_a_file = SHARDS_PER_FILE * plan.shard_clips
    for index in range(_count_files(plan.shards)):
        buffer = io.BytesIO()
        pq.write_table(
            rows.slice(index * rows_a_file, rows_a_file),
            buffer,
            row_group_size=plan.shard_clips,
            compression="zstd",
        )
        run.storage.put_new(_file_uri(run, index, plan.mark), buffer.getvalue())


def delete_other_plans(run: RunFolder, record: RunRecord) -> None:
    """Delete the files in plan/ except those of the run's valid plan; nothing reads them."""
    own = {
        _file_uri(run, index, record.plan_mark).rpartition("/")[2]
        for index in range(_count_files(record.shards))
    }
    for file in run.storage.list_files(layout.plan_uri(run.uri)):
        if file.uri.rpartition("/")[2] not in own:
            with suppress(FileNotFoundError):
                run.storage.delete(file.uri)


def read_plan_shard(run: RunFolder, shard: int) -> pa.Table:
    """Read the planned clips of one shard (CLIP_SCHEMA). Raises InputError if no run is planned."""
    file, group = divmod(shard, SHARDS_PER_FILE)
    uri = _file_uri(run, file, require_run_record(run).plan_mark)
    with run.storage.open_input(uri) as source:
        return pq.ParquetFile(source).read_row_group(group, columns=CLIP_SCHEMA.names)


def read_plan_clips(run: RunFolder, columns: list[str]) -> Iterator[pa.Table]:
    """Read columns of the whole plan, one file at a time, in order."""
    record = require_run_record(run)
    for index in range(_count_files(record.shards)):
        yield run.storage.read_parquet(_file_uri(run, index, record.plan_mark), columns)


def plan_from_record(record: RunRecord) -> Plan:
    """Return the plan that a run's record describes."""
    return Plan(
        clips=record.clips,
        missing=record.missing,
        shards=record.shards,
        shard_clips=record.shard_clips,
        hash=record.plan_hash,
    )


def _count_files(shards: int) -> int:
    return -(-shards // SHARDS_PER_FILE)


def _file_uri(run: RunFolder, index: int, mark: str) -> str:
    """A file of a plan; `mark` is that of the plan, empty in runs of before format 5."""
    name = f"part-{index:05d}-{mark}.parquet" if mark else f"part-{index:05d}.parquet"
    return join_uri(layout.plan_uri(run.uri), name)


def _as_text(batch: pa.RecordBatch) -> pa.Array:
    """One line of text a clip, from which the hash is taken."""
    tags = batch.column("tags")
    flat = tags.flatten()
    fields = [pc.struct_field(flat, name).cast(pa.string()) for name in ("mid", "confidence")]
    joined_tags = pc.binary_join_element_wise(*fields, ":")
    lengths = pc.fill_null(pc.list_value_length(tags), 0).to_numpy(zero_copy_only=False)
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
    joined = pc.binary_join(pa.ListArray.from_arrays(offsets, joined_tags), ";")
    return pc.binary_join_element_wise(
        batch.column("clip_id"),
        batch.column("uri"),
        batch.column("start_s").cast(pa.string()),
        batch.column("end_s").cast(pa.string()),
        joined,
        "\t",
        null_handling="replace",
        null_replacement="-",
    )
