"""Indexes the pairs of a curated table: clips, locations of their audio, and captions.

The index reads no audio. The loader reads it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curation import table
from curation.catalog.clip_bytes import parquet_row_uri
from curation.errors import InputError
from curation.storage.files import Storage
from curation.uris import absolute_uri

_AUDIO = "audio"

# Strings of millions of clips are more than the 2 GiB that Arrow's usual ones can hold.
_READ = {
    "clip_id": pa.large_string(),
    "caption": pa.large_string(),
    "uri": pa.large_string(),
    "clap_score": pa.float32(),
    "rank": pa.int32(),
    "start_s": pa.float64(),
    "end_s": pa.float64(),
}

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SourceTable:
    """One version of one curated table, and its lineage."""

    uri: str
    version: int
    lineage: dict[str, Any]


@dataclass(frozen=True)
class AudioLocation:
    """The location of a clip's audio. An end of None means the file's end.

    `embedded` means that the table contains the audio, as FLAC of 16-bit samples from
    `curation.audio.waveform.to_int16`.
    """

    uri: str
    start_s: float
    end_s: float | None
    embedded: bool


@dataclass(frozen=True, eq=False)
class TableIndex:
    """The clips of one or several table versions, with the captions of each clip, best first.

    A clip is identified by its index.

    Columns are Arrow and NumPy arrays, so that millions of clips take little memory and are pickled
    fast.

    Attributes:
        storage: storage of the tables and of the clips' audio. After `concat`, the storage of the
            first part.
        sources: the table versions, in the order of their clips.
        clip_ids: one per clip.
        duration_s: duration of each clip, `[clip]`.
        row_groups: the group in which each clip is read, `[clip]`, numbered from 0: a row group of
            a table with embedded audio, or a single clip.
    """

    storage: Storage
    sources: tuple[SourceTable, ...]
    clip_ids: pa.Array
    duration_s: Floats
    row_groups: Ints
    _uris: pa.Array
    _start_s: Floats
    _files: tuple[str, ...]  # those with embedded audio
    _file: Ints  # [clip], -1 where the audio is not embedded
    _row: Ints  # [clip]
    _first: Ints  # [clip + 1]: a clip's first pair, and the end
    _captions: pa.Array  # [pair]
    _ranks: npt.NDArray[np.int32]
    _clap_scores: npt.NDArray[np.float32]

    @classmethod
    def open(cls, storage: Storage, table_uri: str, version: int | None = None) -> "TableIndex":
        """Open the pairs of a table version, by default the newest, sorted by clip id.

        Raises:
            InputError: there is no table, no such version of it, it has no pairs, or a pair lacks a
                caption or another column.
        """
        opened = table.open_table(storage, table_uri, version)
        files = tuple(opened.file_uris())
        read = [_read_file(storage, file, index) for index, file in enumerate(files)]
        if not sum(len(part) for part in read):
            raise InputError(
                f"{table_uri}: version {opened.version()} holds no pairs; expected one at least: "
                "loosen the policy (select:) and run tagscribe select again, or name another one"
            )
        rows = pa.concat_tables(read).sort_by([("clip_id", "ascending"), ("rank", "ascending")])
        rows = rows.combine_chunks()
        source = SourceTable(
            absolute_uri(table_uri),
            opened.version(),
            _lineage(storage, table_uri, opened.version()),
        )
        return _index(storage, source, files, rows)

    @classmethod
    def concat(cls, parts: Sequence["TableIndex"]) -> "TableIndex":
        """Concatenate the clips of several indexes, in the order of the parts."""
        pairs_before = np.cumsum([0, *(len(part._captions) for part in parts)])
        files_before = np.cumsum([0, *(len(part._files) for part in parts)])
        groups_before = np.cumsum([0, *(part.row_groups.max() + 1 for part in parts)])
        shifts = list(zip(parts, pairs_before, files_before, groups_before, strict=False))
        return cls(
            storage=parts[0].storage,
            sources=tuple(source for part in parts for source in part.sources),
            clip_ids=pa.concat_arrays([part.clip_ids for part in parts]),
            duration_s=np.concatenate([part.duration_s for part in parts]),
            row_groups=np.concatenate([part.row_groups + groups for part, _, _, groups in shifts]),
            _uris=pa.concat_arrays([part._uris for part in parts]),
            _start_s=np.concatenate([part._start_s for part in parts]),
            _files=tuple(file for part in parts for file in part._files),
            _file=np.concatenate(
                [np.where(part._file < 0, -1, part._file + files) for part, _, files, _ in shifts]
            ),
            _row=np.concatenate([part._row for part in parts]),
            _first=np.concatenate(
                [*(part._first[:-1] + pairs for part, pairs, _, _ in shifts), pairs_before[-1:]]
            ),
            _captions=pa.concat_arrays([part._captions for part in parts]),
            _ranks=np.concatenate([part._ranks for part in parts]),
            _clap_scores=np.concatenate([part._clap_scores for part in parts]),
        )

    def __len__(self) -> int:
        """Number of clips; they have as many pairs as captions."""
        return len(self.clip_ids)

    @property
    def tables(self) -> list[dict[str, Any]]:
        """The table versions as plain data: for each, its uri, version and lineage."""
        return [asdict(source) for source in self.sources]

    def clip_id(self, clip: int) -> str:
        return cast(str, self.clip_ids[clip].as_py())

    def captions_of(self, clip: int) -> list[str]:
        """A clip's captions by rank, best first."""
        return cast(list[str], self._captions[self._pairs_of(clip)].to_pylist())

    def ranks_of(self, clip: int) -> npt.NDArray[np.int32]:
        """The ranks of a clip's captions, `[caption]`; 1 is the best caption of the clip."""
        return self._ranks[self._pairs_of(clip)]

    def clap_scores_of(self, clip: int) -> npt.NDArray[np.float32]:
        """The CLAP scores of a clip's captions, `[caption]`."""
        return self._clap_scores[self._pairs_of(clip)]

    def all_captions(self) -> Iterator[str]:
        """All captions of all clips, in the order of the clips."""
        return (caption.as_py() for caption in self._captions)

    def audio_location(self, clip: int) -> AudioLocation:
        """The location of a clip's audio."""
        file, duration_s = int(self._file[clip]), float(self.duration_s[clip])
        if file >= 0:
            return AudioLocation(
                parquet_row_uri(self._files[file], int(self._row[clip]), _AUDIO), 0.0, None, True
            )
        start_s = float(self._start_s[clip])
        return AudioLocation(self._uris[clip].as_py(), start_s, start_s + duration_s, False)

    def _pairs_of(self, clip: int) -> slice:
        return slice(int(self._first[clip]), int(self._first[clip + 1]))


def _read_file(storage: Storage, uri: str, index: int) -> pa.Table:
    """The pairs of one Parquet file: `_READ`, file (-1 without embedded audio), row and group."""
    with storage.open_input(uri) as source:
        file = pq.ParquetFile(source)
        absent = [name for name in _READ if name not in file.schema_arrow.names]
        if absent:
            raise InputError(
                f"{uri}: no column {', '.join(absent)}; a table of pairs has {', '.join(_READ)}"
            )
        rows = file.read(columns=list(_READ)).select(list(_READ)).cast(pa.schema(_READ))
        embedded = _AUDIO in file.schema_arrow.names
        _check_nulls(uri, rows.drop_columns("uri") if embedded else rows)
        counts = [file.metadata.row_group(each).num_rows for each in range(file.num_row_groups)]
    group = np.repeat(np.arange(len(counts)), counts)
    return (
        rows.append_column("file", pa.array(np.full(len(rows), index if embedded else -1)))
        .append_column("row", pa.array(np.arange(len(rows))))
        .append_column("group", pa.array(group, pa.int64()))
    )


def _check_nulls(uri: str, rows: pa.Table) -> None:
    """Raises InputError for a null, which tables of other makers may have."""
    for name in rows.column_names:
        if nulls := rows[name].null_count:
            row = pc.index(rows[name].is_null(), True).as_py()
            raise InputError(
                f"{uri}: {nulls} of {len(rows)} pairs have no {name}, the first in row {row} "
                f"(clip {rows['clip_id'][row].as_py()!r}); remove these rows from the table"
            )


def _index(
    storage: Storage, source: SourceTable, files: tuple[str, ...], rows: pa.Table
) -> TableIndex:
    """The pairs of sorted rows."""
    ids = rows["clip_id"].combine_chunks()
    new = pc.not_equal(ids[1:], ids[:-1]).to_numpy(zero_copy_only=False)
    first = np.r_[0, np.flatnonzero(new) + 1]
    clips = rows.take(pa.array(first))
    file, row, group, start_s, end_s = (
        clips[name].to_numpy() for name in ("file", "row", "group", "start_s", "end_s")
    )
    # One number a row group; clips that are not embedded have negative ones, each its own.
    together = np.where(file < 0, -1 - np.arange(len(file)), file * (group.max() + 1) + group)
    return TableIndex(
        storage=storage,
        sources=(source,),
        clip_ids=clips["clip_id"].combine_chunks(),
        duration_s=end_s - start_s,
        row_groups=np.unique(together, return_inverse=True)[1],
        _uris=clips["uri"].combine_chunks(),
        _start_s=start_s,
        _files=files,
        _file=file,
        _row=row,
        _first=np.r_[first, len(rows)],
        _captions=rows["caption"].combine_chunks(),
        _ranks=rows["rank"].to_numpy(),
        _clap_scores=rows["clap_score"].to_numpy(),
    )


def _lineage(storage: Storage, table_uri: str, version: int) -> dict[str, Any]:
    latest = table.read_newest_version(storage, table_uri)
    if latest and latest.version == version:
        return latest.lineage
    return next(
        each.lineage
        for each in table.list_table_versions(storage, table_uri)
        if each.version == version
    )
