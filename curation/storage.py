"""One filesystem layer: a URI or a local path becomes bytes, a listing, or an atomic put.

Everything that reads or writes files goes through here, so `s3://` works wherever a path does.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

import fsspec
from fsspec.implementations.local import LocalFileSystem


class FileInfo(NamedTuple):
    uri: str
    size_bytes: int


def resolve(uri: str) -> tuple[fsspec.AbstractFileSystem, str]:
    """The filesystem of a URI, and the path by which that filesystem knows it."""
    if "://" not in uri:  # a local name may hold what fsspec reads as a chain of filesystems, "::"
        return LocalFileSystem(), os.path.abspath(os.path.expanduser(uri))
    return cast(tuple[fsspec.AbstractFileSystem, str], fsspec.core.url_to_fs(uri))


def is_local(uri: str) -> bool:
    return isinstance(resolve(uri)[0], LocalFileSystem)


def absolute(uri: str) -> str:
    """The URI that names the same file from any folder and any process."""
    filesystem, path = resolve(uri)
    return path if isinstance(filesystem, LocalFileSystem) else filesystem.unstrip_protocol(path)


def join(uri: str, *parts: str) -> str:
    return "/".join([uri.rstrip("/"), *parts])


def exists(uri: str) -> bool:
    filesystem, path = resolve(uri)
    filesystem.invalidate_cache()
    return bool(filesystem.exists(path))


def list_files(uri: str) -> Iterator[FileInfo]:
    """Every file below a folder, nested folders included, sorted by path.

    A folder that does not exist has no files; ask `exists` first where that is a mistake.
    """
    filesystem, path = resolve(uri)
    if isinstance(filesystem, LocalFileSystem):
        yield from _list_local(path)
        return
    filesystem.invalidate_cache()
    found = filesystem.find(path, detail=True)
    for name in sorted(found):
        yield FileInfo(filesystem.unstrip_protocol(name), int(found[name]["size"] or 0))


def read_bytes(uri: str, start: int | None = None, end: int | None = None) -> bytes:
    """A file's bytes, or those from `start` up to `end`. Raises FileNotFoundError, OSError."""
    filesystem, path = resolve(uri)
    return cast(bytes, filesystem.cat_file(path, start=start, end=end))


def open_input(uri: str) -> BinaryIO:
    """A seekable binary file for reading; the caller closes it."""
    filesystem, path = resolve(uri)
    return cast(BinaryIO, filesystem.open(path, "rb"))


def put(uri: str, data: bytes) -> None:
    """Write a whole file in one atomic step; readers see the old one or the new one."""
    filesystem, path = resolve(uri)
    if isinstance(filesystem, LocalFileSystem):
        with _written_aside(path, data) as temporary:
            os.replace(temporary, path)
    else:
        filesystem.pipe_file(path, data)


def put_new(uri: str, data: bytes) -> bool:
    """Create a file in one atomic step; False, and nothing written, when it is already there.

    On S3 this is one conditional put; keep such objects below one put (5 GiB).
    """
    filesystem, path = resolve(uri)
    if isinstance(filesystem, LocalFileSystem):
        with _written_aside(path, data) as temporary:
            try:
                os.link(temporary, path)
            except FileExistsError:
                return False
        return True
    options: dict[str, Any] = {}
    if "s3" in filesystem.protocol or "s3a" in filesystem.protocol:
        # One request whatever the size: a multipart upload would ignore the condition.
        options["chunksize"] = 5 * 2**30
    try:
        filesystem.pipe_file(path, data, mode="create", **options)
    except OSError:
        # Servers answer a failed condition in different ways; the key itself is the truth.
        if exists(uri):
            return False
        raise
    return True


def delete(uri: str) -> None:
    """Remove one file. Raises FileNotFoundError, OSError."""
    filesystem, path = resolve(uri)
    filesystem.rm_file(path)


def delete_tree(uri: str) -> None:
    """Remove a folder and all below it; silent where there is none."""
    filesystem, path = resolve(uri)
    if filesystem.exists(path):
        filesystem.rm(path, recursive=True)


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
            yield FileInfo(entry.path, entry.stat().st_size)


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
