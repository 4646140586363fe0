"""Clips of the table that are not published, and why: `clip_id` and `reason`, a clip a row."""

import csv
import io
from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

SCHEMA = pa.schema([("clip_id", pa.string()), ("reason", pa.string())])


def of(clips: Mapping[str, str]) -> pa.Table:
    """From the reason of each clip."""
    return pa.table({"clip_id": list(clips), "reason": list(clips.values())}, SCHEMA)


def by_reason(left_out: pa.Table) -> dict[str, int]:
    """How many clips each reason has, the reasons in order."""
    counts = left_out["reason"].value_counts().to_pylist()
    return dict(sorted((each["values"], each["counts"]) for each in counts))


def kept(rows: pa.Table, left_out: pa.Table) -> pa.Table:
    """The rows whose clip is not left out."""
    return rows.filter(pc.invert(pc.is_in(rows["clip_id"], left_out["clip_id"])))


def as_csv(left_out: pa.Table) -> bytes:
    """By clip id, with a header."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(SCHEMA.names)
    for batch in left_out.sort_by("clip_id").to_batches(max_chunksize=65536):
        lines.writerows(zip(*(column.to_pylist() for column in batch), strict=True))
    return text.getvalue().encode()
