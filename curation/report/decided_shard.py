"""Reads a run's evidence and decisions shard by shard, so that large runs fit in memory."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curation.errors import InputError
from curation.run import evidence as run_evidence
from curation.run import layout
from curation.run.layout import RunFolder
from curation.schema import OK
from curation.select import policy
from curation.storage.files import Storage

# The reason of a candidate on which no selection has decided.
UNDECIDED = "undecided"

_COLUMNS = ["clip_id", "tags", "candidates", "scorer_agreement", "outcome", "error"]
_ROWS_A_BATCH = 65536


@dataclass(frozen=True, eq=False)
class DecidedShard:
    """The clips of a shard, and the decisions on their candidates.

    Attributes:
        clips: columns of evidence, one row per clip.
        clip: int `[candidate]`, the row of each candidate's clip.
        clap_score, second_score: float32 `[candidate]`, NaN if there is none.
        score: float32 `[candidate]`, the policy's score; NaN if undecided.
        reason: str `[candidate]`, the reason of each decision.
        agreement: float32 `[clip]`, agreement between the two scorers' ranks; NaN if there is none.
    """

    number: int
    clips: pa.Table
    clip: np.ndarray
    clap_score: np.ndarray
    second_score: np.ndarray
    score: np.ndarray
    reason: np.ndarray
    agreement: np.ndarray

    @cached_property
    def ok(self) -> np.ndarray:
        """Whether each clip was annotated without an error, bool `[clip]`."""
        return pc.equal(self.clips["outcome"], OK).to_numpy()

    @cached_property
    def pairs(self) -> np.ndarray:
        """Number of accepted candidates of each clip, int `[clip]`."""
        accepted = self.clip[self.reason == policy.ACCEPTED]
        return np.bincount(accepted, minlength=self.clips.num_rows)


def read_decided_shards(
    run: RunFolder, shards: list[int], selection: str | None
) -> Iterator[DecidedShard]:
    """Read the shards of a run with the decisions of a selection, or without decisions.

    Raises InputError if decisions and evidence do not belong together.
    """
    decided = (
        _Decisions(run.storage, layout.decisions_uri(run.uri, selection)) if selection else None
    )
    evidence = run_evidence.read_evidence_shards(run, shards, _COLUMNS)
    for number, clips in zip(shards, evidence, strict=True):
        candidates = clips["candidates"].combine_chunks()
        clip, flat = pc.list_parent_indices(candidates), candidates.flatten()
        rows = decided.take(clips["clip_id"].take(clip)) if decided else None
        yield DecidedShard(
            number,
            clips,
            clip.to_numpy(),
            _floats(pc.struct_field(flat, "clap_score")),
            _floats(pc.struct_field(flat, "second_score")),
            np.full(len(flat), np.nan, np.float32) if rows is None else _floats(rows["score"]),
            np.full(len(flat), UNDECIDED, object) if rows is None else rows["reason"].to_numpy(),
            _floats(clips["scorer_agreement"].combine_chunks()),
        )
    if decided:
        decided.check_end()


class _Decisions:
    """The decisions of a selection, taken in the order of the evidence."""

    def __init__(self, storage: Storage, uri: str) -> None:
        self._uri = uri
        columns = ["clip_id", "score", "reason"]
        try:
            file = pq.ParquetFile(storage.open_input(uri), pre_buffer=False)
        except FileNotFoundError as error:
            raise InputError(
                f"{uri}: the decisions behind the table are gone; run tagscribe select again"
            ) from error
        self._batches = file.iter_batches(_ROWS_A_BATCH, columns=columns, use_threads=False)
        self._buffer = pa.schema([(name, file.schema_arrow.field(name).type) for name in columns])
        self._buffer = _as_text(self._buffer.empty_table())

    def take(self, clip_ids: pa.ChunkedArray) -> pa.Table | None:
        """Return the decisions on a shard's candidates, given the clip id of each candidate.

        Returns None if there are no decisions on this shard, because the selection was made when
        the shard had no evidence yet.
        """
        count = len(clip_ids)
        self._fill_buffer(max(1, count))
        ahead = self._buffer
        if not count or not ahead.num_rows or ahead["clip_id"][0] != clip_ids[0]:
            return None
        rows = ahead.slice(0, count)
        if not rows["clip_id"].equals(clip_ids):
            raise self._mismatch_error()
        self._buffer = ahead.slice(count)
        return rows

    def check_end(self) -> None:
        """Raise InputError if decisions are left that belong to no shard."""
        self._fill_buffer(1)
        if self._buffer.num_rows:
            raise self._mismatch_error()

    def _fill_buffer(self, count: int) -> None:
        while self._buffer.num_rows < count and (batch := next(self._batches, None)) is not None:
            self._buffer = pa.concat_tables(
                [self._buffer, _as_text(pa.Table.from_batches([batch]))]
            )

    def _mismatch_error(self) -> InputError:
        return InputError(
            f"{self._uri}: these decisions are not on the evidence of this run, in its order; "
            "run tagscribe select again"
        )


def _as_text(rows: pa.Table) -> pa.Table:
    """Batches of a file may each bring a dictionary of their own."""
    place = rows.schema.get_field_index("reason")
    return rows.set_column(place, "reason", rows["reason"].cast(pa.string()))


def _floats(values: pa.Array) -> np.ndarray:
    return values.cast(pa.float32()).to_numpy(zero_copy_only=False)
