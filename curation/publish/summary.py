"""Summarises a dataset's files: counts by split, licences, scores, and excluded clips."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.publish import excluded
from curation.publish.columns import select_public_columns
from curation.publish.destination import ShardReceipt
from curation.publish.options import PublishOptions
from curation.publish.splits import SPLITS, DatasetShard, is_first_of_clip

SAMPLE_ROWS = 5
_SCORES = ("clap_score", "second_score", "log_prob")


@dataclass(frozen=True)
class SplitCounts:
    rows: int = 0
    clips: int = 0
    seconds: float = 0.0

    def add_receipt(self, receipt: ShardReceipt) -> "SplitCounts":
        seconds = self.seconds + receipt.seconds
        return SplitCounts(self.rows + receipt.rows, self.clips + receipt.clips, seconds)


@dataclass(frozen=True)
class PublishSummary:
    """The facts about a dataset that the card and the other metadata state."""

    options: PublishOptions
    origin: dict[str, Any]
    splits: dict[str, SplitCounts]
    scores: dict[str, tuple[float, float, float]]  # by column: least, median, greatest
    tags: dict[str, int]  # tags of clips by who gave them
    licences: dict[str, int]  # rows by licence of their audio
    excluded: dict[str, int]  # clips by reason
    columns: tuple[str, ...]
    sample: list[dict[str, Any]]

    @property
    def total(self) -> SplitCounts:
        parts = self.splits.values()
        return SplitCounts(
            sum(part.rows for part in parts),
            sum(part.clips for part in parts),
            sum(part.seconds for part in parts),
        )


def summarise_publication(
    rows: pa.Table,
    options: PublishOptions,
    origin: dict[str, Any],
    written: Mapping[str, tuple[DatasetShard, ShardReceipt]],
    out: pa.Table,
) -> PublishSummary:
    """Summarise the published rows, the written shards, and the excluded clips (`out`)."""
    splits = {}
    for name in SPLITS:
        counts = SplitCounts()
        for shard, receipt in written.values():
            counts = counts.add_receipt(receipt) if shard.split == name else counts
        if counts.rows:
            splits[name] = counts
    public_rows = select_public_columns(rows)
    return PublishSummary(
        options,
        origin,
        splits,
        {name: _spread(public_rows[name]) for name in _SCORES if name in public_rows.column_names},
        _tags(public_rows),
        _counts(public_rows["licence"]) if "licence" in public_rows.column_names else {},
        excluded.count_by_reason(out),
        (*public_rows.column_names, *(("audio",) if options.audio else ())),
        _sample(public_rows),
    )


def _spread(column: pa.ChunkedArray) -> tuple[float, float, float]:
    values = column.drop_null().to_numpy()
    if not len(values):
        return (np.nan,) * 3
    return float(values.min()), float(np.median(values)), float(values.max())


def _tags(rows: pa.Table) -> dict[str, int]:
    clips = rows["tags"].filter(pa.array(is_first_of_clip(rows["clip_id"])))
    return _counts(pc.struct_field(pc.list_flatten(clips), "origin"))


def _counts(column: pa.ChunkedArray) -> dict[str, int]:
    return {each["values"]: each["counts"] for each in column.value_counts().to_pylist()}


def _sample(rows: pa.Table) -> list[dict[str, Any]]:
    places = np.linspace(0, rows.num_rows - 1, min(SAMPLE_ROWS, rows.num_rows)).astype(int)
    sample: list[dict[str, Any]] = rows.take(pa.array(places)).to_pylist()
    return sample
