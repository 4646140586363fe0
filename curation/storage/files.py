"""One filesystem layer: a URI or a local path becomes bytes, a listing, or an atomic put.

Everything that reads or writes files goes through here, so `s3://` works wherever a path does. What
is remote is reached as `configure` was told, and its passing faults are retried.
"""

import io
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO, TypeVar, cast

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

from curation.storage import s3 as storage_s3
from curation.storage.retry import GaveUp, retrying
from curation.storage.s3 import S3, FileInfo, S3File, StorageConfig

__all__ = ["FileInfo", "GaveUp", "StorageConfig"]

T = TypeVar("T")

# Small reads of an opened object, such as a tar's headers, are served from one request this large.
_BUFFER_BYTES = 2**20

_settings = StorageConfig()


def configure(settings: StorageConfig) -> None:
    """Reach object storage as a configuration says, from now on and in all of this process.

    Raises InputError for a profile that this machine does not have.
    """
    global _settings
    storage_s3.need_profile(settings)
    _settings = settings


def settings() -> StorageConfig:
    """What `configure` said last, to be handed on to other processes."""
    return _settings


def resolve(uri: str) -> tuple[fsspec.AbstractFileSystem, str]:
    """The filesystem of a URI, and the path by which that filesystem knows it.

    Raises InputError for a storage that is not known or whose driver is not installed.
    """
    if is_local(uri):  # a local name may hold what fsspec reads as a chain of filesystems, "::"
        return LocalFileSystem(), _local_path(uri)
    return storage_s3.open_filesystem(uri, _settings)


def is_local(uri: str) -> bool:
    return storage_s3.protocol_of(uri) in ("", "file", "local")


def absolute(uri: str) -> str:
    """The URI that names the same file from any folder and any process."""
    return _local_path(uri) if is_local(uri) else uri.replace("s3a://", "s3://", 1)


def join(uri: str, *parts: str) -> str:
    return "/".join([uri.rstrip("/"), *parts])


def delta_options(uri: str) -> dict[str, str] | None:
    """What Delta Lake is told of a remote table; it may hold secrets, so keep it in memory."""
    return None if is_local(uri) else storage_s3.delta_options(uri, _settings)


def exists(uri: str) -> bool:
    filesystem, path = resolve(uri)
    if s3 := _s3(filesystem):
        return s3.exists(path)
    if isinstance(filesystem, LocalFileSystem):
        return bool(filesystem.exists(path))
    filesystem.invalidate_cache()
    try:
        # Not by the drivers' own `exists`, which takes every fault for a no.
        patiently(uri, partial(filesystem.info, path))
    except FileNotFoundError:
        return False
    return True


def list_files(uri: str) -> Iterator[FileInfo]:
    """Every file below a folder, nested folders included, sorted by path.

    A folder that does not exist has no files; ask `exists` first where that is a mistake.
    """
    filesystem, path = resolve(uri)
    if isinstance(filesystem, LocalFileSystem):
        yield from _list_local(path)
    elif s3 := _s3(filesystem):
        yield from s3.list(path)
    else:
        filesystem.invalidate_cache()
        found = patiently(uri, partial(filesystem.find, path, detail=True))
        for name in sorted(found):
            yield FileInfo(filesystem.unstrip_protocol(name), int(found[name]["size"] or 0))


def read_bytes(
    uri: str,
    start: int | None = None,
    end: int | None = None,
    reserve: Callable[[int], None] | None = None,
) -> bytes:
    """A file's bytes, or those from `start` up to `end`.

    Args:
        reserve: called with the number of bytes before they are read, perhaps for several attempts;
            for the audio of a clip, which is given up sooner than what a whole run needs.

    Raises FileNotFoundError, OSError; GaveUp for storage that keeps failing.
    """
    filesystem, path = resolve(uri)
    patience_s = _settings.retry_s if reserve else _settings.write_retry_s
    if s3 := _s3(filesystem):
        return s3.get(path, start, end, reserve, patience_s)

    def work() -> bytes:
        if reserve:
            size = int(filesystem.info(path)["size"] or 0)
            reserve(max(0, (size if end is None else min(end, size)) - (start or 0)))
        return cast(bytes, filesystem.cat_file(path, start=start, end=end))

    if isinstance(filesystem, LocalFileSystem):
        return work()
    return retrying(uri, patience_s, work)


def open_input(uri: str, buffer_bytes: int = _BUFFER_BYTES) -> BinaryIO:
    """A seekable binary file for reading; the caller closes it."""
    filesystem, path = resolve(uri)
    if s3 := _s3(filesystem):
        return cast(BinaryIO, io.BufferedReader(S3File(s3, path), buffer_bytes))
    return cast(BinaryIO, filesystem.open(path, "rb"))


def read_parquet(uri: str, columns: list[str] | None = None) -> pa.Table:
    """A Parquet file whole, or some columns in the order given.

    By the calling thread alone: Arrow's own threads would call back into Python, and can abort a
    process that is about to exit.
    """
    with open_input(uri) as source:
        table = pq.ParquetFile(source, pre_buffer=False).read(columns, use_threads=False)
    return table.select(columns) if columns else table


def put(uri: str, data: bytes) -> None:
    """Write a whole file in one atomic step; readers see the old one or the new one."""
    filesystem, path = resolve(uri)
    if isinstance(filesystem, LocalFileSystem):
        with _written_aside(path, data) as temporary:
            os.replace(temporary, path)
    elif s3 := _s3(filesystem):
        s3.put(path, data)
    else:
        patiently(uri, partial(filesystem.pipe_file, path, data))


def put_new(uri: str, data: bytes) -> bool:
    """Create a file in one atomic step; False, and nothing written, when another is there already.

    A file with these very bytes counts as written: a put whose answer was lost is tried again, by
    us or by an HTTP client below us, and then finds its own. On S3 this is one conditional put;
    keep such objects below one put (5 GiB).
    """
    filesystem, path = resolve(uri)
    if isinstance(filesystem, LocalFileSystem):
        with _written_aside(path, data) as temporary:
            try:
                os.link(temporary, path)
            except FileExistsError:
                return read_bytes(uri) == data
        return True
    try:
        if s3 := _s3(filesystem):
            # One request whatever the size: a multipart upload would ignore the condition.
            s3.put(path, data, mode="create", chunksize=5 * 2**30)
        elif exists(uri):  # some drivers, the hub's too, ask this no better than `exists` of theirs
            return read_bytes(uri) == data
        else:
            patiently(uri, partial(filesystem.pipe_file, path, data, mode="create"))
    except GaveUp:
        raise
    except OSError:
        # Servers answer a failed condition in different ways; the key itself is the truth.
        if not exists(uri):
            raise
        return read_bytes(uri) == data
    return True


def delete(uri: str) -> None:
    """Remove one file. Raises FileNotFoundError, OSError."""
    filesystem, path = resolve(uri)
    if isinstance(filesystem, LocalFileSystem):
        filesystem.rm_file(path)
    else:
        patiently(uri, partial(filesystem.rm_file, path))


def delete_tree(uri: str) -> None:
    """Remove a folder and all below it; silent where there is none."""
    if not exists(uri):
        return
    filesystem, path = resolve(uri)
    if isinstance(filesystem, LocalFileSystem):
        filesystem.rm(path, recursive=True)
    else:
        # Not there: it went at once, or in an attempt whose answer was lost.
        with suppress(FileNotFoundError):
            patiently(uri, partial(filesystem.rm, path, recursive=True))


def patiently(uri: str, work: Callable[[], T]) -> T:
    """What `work` returns, its passing faults retried as long as those of writing."""
    return retrying(uri, _settings.write_retry_s, work)


def _s3(filesystem: fsspec.AbstractFileSystem) -> S3 | None:
    return S3(filesystem, _settings) if "s3" in filesystem.protocol else None


def _local_path(uri: str) -> str:
    path = LocalFileSystem._strip_protocol(uri) if "://" in uri else uri
    return os.path.abspath(os.path.expanduser(path))


def _list_local(folder: str) -> Iterator[FileInfo]:
    """As fsspec's `find`, at a fraction of its memory; links are followed, broken ones left out."""
    try:
        # With its slash a folder sorts among its siblings as the paths below it do.
        entries = sorted((e.name + "/" * e.is_dir(), e) for e in os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return
    for _, entry in entries:
        if entry.is_dir():
            yield from _list_local(entry.path)
        elif entry.is_file():
            try:
                size = entry.stat().st_size
            except FileNotFoundError:
                # Moved or deleted meanwhile by another process.
                continue
            yield FileInfo(entry.path, size)


@contextmanager
def _written_aside(path: str, data: bytes) -> Iterator[str]:
    """A synced temporary file of a dot-name beside `path`; gone afterwards unless it was moved."""
    folder = Path(path).parent
    folder.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=folder, prefix=f".{Path(path).name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        yield temporary
    finally:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
