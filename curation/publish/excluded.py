"""Builds the table of clips that are not published: columns `clip_id` and `reason`."""

import csv
import io
from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

EXCLUDED_SCHEMA = pa.schema([("clip_id", pa.string()), ("reason", pa.string())])


def build_excluded_table(clips: Mapping[str, str]) -> pa.Table:
    """Build the table of excluded clips from a mapping of clip ids to reasons."""
    return pa.table({"clip_id": list(clips), "reason": list(clips.values())}, EXCLUDED_SCHEMA)


def count_by_reason(excluded: pa.Table) -> dict[str, int]:
    """Count the excluded clips of each reason; the result is sorted by reason."""
    counts = excluded["reason"].value_counts().to_pylist()
    return dict(sorted((each["values"], each["counts"]) for each in counts))


def drop_excluded(rows: pa.Table, excluded: pa.Table) -> pa.Table:
    """Return the rows whose clips are not excluded."""
    return rows.filter(pc.invert(pc.is_in(rows["clip_id"], excluded["clip_id"])))


def format_excluded_csv(excluded: pa.Table) -> bytes:
    """Format the table as CSV, sorted by clip id, with a header."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(EXCLUDED_SCHEMA.names)
    for batch in excluded.sort_by("clip_id").to_batches(max_chunksize=65536):
        lines.writerows(zip(*(column.to_pylist() for column in batch), strict=True))
    return text.getvalue().encode()
