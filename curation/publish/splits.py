"""Assigns clips to splits and rows to files, in the same way in every publication.

A clip's split depends only on the clip's id and on the shares of the splits, so it is the same in
every version. All captions of a clip are in one split and in one file.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

SPLITS = ("train", "validation", "test")
# A file is held in memory while it is made.
ROWS_PER_SHARD = 100_000
SECONDS_PER_SHARD = 7200.0


@dataclass(frozen=True, eq=False)
class DatasetShard:
    """The rows of file number `index` out of the `count` files of a split, in order."""

    split: str
    index: int
    count: int
    rows: np.ndarray  # int64, places in the source's rows

    @property
    def label(self) -> str:
        """The file name that `datasets` expects, without the extension."""
        return f"{self.split}-{self.index:05d}-of-{self.count:05d}"


def assign_splits(clip_ids: pa.ChunkedArray, validation: float, test: float) -> np.ndarray:
    """Return the split of each clip, `[clips]`, as an index of SPLITS.

    The first 8 bytes of the SHA-256 of a clip's id are read as a fraction. A clip with a fraction
    below `test` is in the test split. A clip with a fraction below `test + validation` is in the
    validation split, and all others are in the train split.
    """
    parts = [
        np.fromiter((_fraction(text) for text in chunk.to_pylist()), np.float64, len(chunk))
        for whole in clip_ids.chunks
        for chunk in (whole.slice(start, 65536) for start in range(0, len(whole), 65536))
    ]
    fraction = np.concatenate([np.empty(0), *parts])
    return np.where(fraction < test, 2, np.where(fraction < test + validation, 1, 0))


def cut_shards(rows: pa.Table, validation: float, test: float, audio: bool) -> list[DatasetShard]:
    """Cut rows that are sorted by clip into files; a split without clips has no file."""
    split = assign_splits(rows["clip_id"], validation, test)
    weight = np.full(rows.num_rows, 1 / ROWS_PER_SHARD)
    if audio:
        seconds = pc.subtract(rows["end_s"], rows["start_s"]).to_numpy()
        weight = np.maximum(weight, seconds / SECONDS_PER_SHARD)
    return [
        DatasetShard(name, index, len(parts), part)
        for place, name in enumerate(SPLITS)
        for parts in [_cut(rows["clip_id"], weight, np.flatnonzero(split == place))]
        for index, part in enumerate(parts)
    ]


def is_first_of_clip(clip_ids: pa.ChunkedArray) -> np.ndarray:
    """Whether each row is the first row of its clip, bool `[rows]`; rows are sorted by clip."""
    first = np.ones(len(clip_ids), dtype=bool)
    if len(clip_ids) > 1:
        others = pc.not_equal(clip_ids.slice(1), clip_ids.slice(0, len(clip_ids) - 1))
        first[1:] = others.to_numpy()
    return first


def _cut(clip_ids: pa.ChunkedArray, weight: np.ndarray, rows: np.ndarray) -> list[np.ndarray]:
    if not len(rows):
        return []
    first = np.flatnonzero(is_first_of_clip(clip_ids.take(pa.array(rows))))
    begins_at = (np.cumsum(weight[rows]) - weight[rows])[first]
    _, number = np.unique(np.floor(begins_at), return_inverse=True)
    cuts = first[np.flatnonzero(np.diff(number)) + 1]
    return list(np.split(rows, cuts))


def _fraction(clip_id: str) -> float:
    return int.from_bytes(hashlib.sha256(clip_id.encode()).digest()[:8]) / 2**64
