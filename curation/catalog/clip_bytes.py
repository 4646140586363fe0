"""Reads the bytes of a clip from a file, a row of a Parquet file, or a member of a tar file."""

import re
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from functools import lru_cache
from typing import cast
from urllib.parse import quote, unquote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curation.storage.files import Storage

# What the row groups last read may take; the one in use is kept whatever its size.
_CACHE_BYTES = 256 * 2**20

Reserve = Callable[[int], None]

_ROW = re.compile(r"(?P<file>.+\.(?i:parquet))#row=(?P<row>\d{9})&column=(?P<column>.+)", re.DOTALL)
_MEMBER = re.compile(
    r"(?P<file>.+\.(?i:tar))#offset=(?P<offset>\d{12})&size=(?P<size>\d+)&name=(?P<name>.*)",
    re.DOTALL,
)


def parquet_row_uri(file: str, row: int, column: str) -> str:
    """Build the URI of the audio in a row of a Parquet file. URIs sort in the order of the rows."""
    return f"{file}#row={row:09d}&column={quote(column)}"


def tar_member_uri(file: str, offset: int, size: int, name: str) -> str:
    """Build the URI of a member of a tar file. URIs sort in the order of the members."""
    return f"{file}#offset={offset:012d}&size={size}&name={quote(name)}"


def read_clip_bytes(
    storage: Storage, uri: str, reserve: Reserve | None = None
) -> tuple[bytes, str]:
    """Read the encoded audio of a clip. Returns the bytes, and the name of the clip in messages.

    Thread-safe. `reserve` is called with the size in bytes before the audio is read (see
    `Storage.read_audio_bytes`). For a row of a Parquet file, the whole row group is read, and
    `reserve` is called before the bytes of the row are copied. The last row groups stay in a cache
    of 256 MiB, which is not part of the caller's budget.

    Raises OSError if the bytes cannot be read (FileNotFoundError if there is no file).
    """
    if row := _ROW.fullmatch(uri):
        file, number = row["file"], int(row["row"])
        return _read_row(
            storage, file, number, unquote(row["column"]), reserve
        ), f"{file} row {number}"
    if member := _MEMBER.fullmatch(uri):
        start, size = int(member["offset"]), int(member["size"])
        data = _read_range(storage, member["file"], reserve, start, start + size) if size else b""
        return data, f"{unquote(member['name'])} in {member['file']}"
    return _read_range(storage, uri, reserve), uri


def _read_range(
    storage: Storage,
    uri: str,
    reserve: Reserve | None,
    start: int | None = None,
    end: int | None = None,
) -> bytes:
    if reserve is None:
        return storage.read_bytes(uri, start, end)
    return storage.read_audio_bytes(uri, reserve, start, end)


def _read_row(storage: Storage, file: str, row: int, column: str, reserve: Reserve | None) -> bytes:
    starts = _group_starts(storage, file)
    group = int(np.searchsorted(starts, row, side="right")) - 1
    if row >= starts[-1]:
        raise OSError(f"{file} has {starts[-1]} rows, and no row {row}: it is not what was listed")
    found = _groups.get(storage, file, group, column)[row - starts[group]]
    if not found.is_valid:
        raise OSError(f"{file} row {row} has no bytes in {column!r}: it is not what was listed")
    view = found.as_buffer()
    if reserve:
        reserve(view.size)
    return cast(bytes, view.to_pybytes())


@lru_cache(maxsize=256)
def _group_starts(storage: Storage, file: str) -> list[int]:
    """The first row of each row group, and the number of rows."""
    with storage.open_input(file) as source:
        metadata = pq.ParquetFile(source).metadata
    counts = [metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)]
    return [0, *np.cumsum(counts).tolist()]


_Key = tuple[Storage, str, int, str]


class _RowGroups:
    """The row groups last read; several threads that want the same one read it once."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._groups: OrderedDict[_Key, Future[pa.ChunkedArray]] = OrderedDict()

    def get(self, storage: Storage, file: str, group: int, column: str) -> pa.ChunkedArray:
        key = (storage, file, group, column)
        with self._lock:
            future = self._groups.get(key)
            mine = future is None
            if future is None:
                future = self._groups[key] = Future()
            self._groups.move_to_end(key)
        if mine:
            try:
                future.set_result(_read_group(*key))
            except BaseException as error:
                with self._lock:
                    del self._groups[key]
                future.set_exception(error)
            self._shrink()
        return future.result()

    def _shrink(self) -> None:
        with self._lock:
            done = [key for key, future in self._groups.items() if future.done()]
            taken = sum(self._groups[key].result().nbytes for key in done)
            for key in done[:-1]:
                if taken <= self._max_bytes:
                    return
                taken -= self._groups.pop(key).result().nbytes


def _read_group(storage: Storage, file: str, group: int, column: str) -> pa.ChunkedArray:
    with storage.open_input(file) as source:
        table = pq.ParquetFile(source).read_row_group(group, columns=[f"{column}.bytes"])
    return pc.struct_field(table[column], "bytes")


_groups = _RowGroups(_CACHE_BYTES)
