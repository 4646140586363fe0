"""`Storage` reads, writes and lists files of a local disk or of object storage by their URI.

All other code reads and writes through `Storage`, so every path may be a URI such as `s3://`.
Transient faults of remote storage are retried. `drivers` and `s3` contain the clients and
connections.
"""

import io
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, BinaryIO, TypeVar, cast

import pyarrow as pa
import pyarrow.parquet as pq

from curation.storage.credentials import check_profile, delta_client_options, inherit_settings
from curation.storage.local import (
    FileInfo,
    OnSkip,
    delete_local_tree,
    list_local_files,
    move_if_absent,
    read_local_file,
    write_temporary_file,
)
from curation.storage.retry import RetriesExhausted, call_with_retries
from curation.storage.settings import StorageConfig
from curation.uris import is_local_uri, local_path

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

    from curation.storage.s3 import S3Client

T = TypeVar("T")

# Small reads of an open object, such as a tar's headers, are served from one request this large.
_BUFFER_BYTES = 2**20


@dataclass(frozen=True)
class Storage:
    """Reads and writes files by URI with the given settings. Cheap to build, hashable, picklable.

    Raises InputError if the settings name a profile that this machine does not have.
    """

    settings: StorageConfig = StorageConfig()

    def __post_init__(self) -> None:
        check_profile(self.settings)

    def __setstate__(self, state: dict[str, StorageConfig]) -> None:
        self.__dict__.update(state)
        inherit_settings(self.settings)

    def resolve_remote(self, uri: str) -> "tuple[AbstractFileSystem, str]":
        """Return the filesystem of a remote URI, and the file's path in this filesystem.

        Raises InputError for a storage that is unknown or whose driver is not installed.
        """
        # Imported here, as the clients of object storage are: runs on local files do without.
        from curation.storage.drivers import open_filesystem

        return open_filesystem(uri, self.settings)

    def delta_options(self, uri: str) -> dict[str, str] | None:
        """Return Delta Lake's options for a remote table. They may be secret: do not store them."""
        if is_local_uri(uri):
            return None
        filesystem, path = self.resolve_remote(uri)
        if s3 := self._s3_client(filesystem):
            s3.require_contact(path)  # Delta would try a wrong endpoint for minutes.
        return delta_client_options(uri, self.settings)

    def exists(self, uri: str) -> bool:
        """Whether there is a file or a folder at the URI."""
        if is_local_uri(uri):
            return os.path.exists(local_path(uri))
        filesystem, path = self.resolve_remote(uri)
        if s3 := self._s3_client(filesystem):
            return s3.exists(path)
        filesystem.invalidate_cache()
        try:
            # Not by the drivers' own `exists`, which takes every fault for a no.
            self.retry(uri, partial(filesystem.info, path))
        except FileNotFoundError:
            return False
        return True

    def list_files(self, uri: str, on_skip: OnSkip = lambda path, what: None) -> Iterator[FileInfo]:
        """List every file below a folder, including nested folders, sorted by path.

        A missing folder gives an empty list; call `exists` first if a missing folder is an error.
        `on_skip` receives local entries that are skipped, as in `list_local_files`.
        """
        if is_local_uri(uri):
            yield from list_local_files(local_path(uri), on_skip)
            return
        filesystem, path = self.resolve_remote(uri)
        if s3 := self._s3_client(filesystem):
            yield from s3.list_objects(path)
        else:
            filesystem.invalidate_cache()
            entries = self.retry(uri, partial(filesystem.find, path, detail=True))
            for name in sorted(entries):
                size = int(entries[name]["size"] or 0)
                yield FileInfo(filesystem.unstrip_protocol(name), size)

    def read_bytes(self, uri: str, start: int | None = None, end: int | None = None) -> bytes:
        """Read a whole file, or its bytes from `start` up to `end`.

        Use this for files on which a whole shard or run depends: faults are retried for
        `run_retry_timeout_s`.

        Raises FileNotFoundError, OSError, and RetriesExhausted for storage that keeps failing.
        """
        return self._read(uri, start, end, None, self.settings.run_retry_timeout_s)

    def read_audio_bytes(
        self,
        uri: str,
        reserve: Callable[[int], None],
        start: int | None = None,
        end: int | None = None,
    ) -> bytes:
        """Read the encoded audio of one clip, within a read budget.

        Only the clip depends on this file. Therefore faults are retried for `read_retry_timeout_s`,
        a fifth of the time of `read_bytes`. After that the clip becomes an error row.

        Args:
            reserve: called with the number of bytes before each attempt to read them.

        Raises as `read_bytes` does, and any exception of `reserve`.
        """
        return self._read(uri, start, end, reserve, self.settings.read_retry_timeout_s)

    def _read(
        self,
        uri: str,
        start: int | None,
        end: int | None,
        reserve: Callable[[int], None] | None,
        timeout_s: float,
    ) -> bytes:
        def count_bytes(size: int) -> int:
            return max(0, (size if end is None else min(end, size)) - (start or 0))

        if is_local_uri(uri):
            local = local_path(uri)
            if reserve:
                reserve(count_bytes(os.stat(local).st_size))
            return read_local_file(local, start, end)
        filesystem, path = self.resolve_remote(uri)
        if s3 := self._s3_client(filesystem):
            return s3.get(path, start, end, reserve, timeout_s)

        def read() -> bytes:
            if reserve:
                reserve(count_bytes(int(filesystem.info(path)["size"] or 0)))
            return cast(bytes, filesystem.cat_file(path, start=start, end=end))

        return call_with_retries(uri, timeout_s, read)

    def open_input(self, uri: str, buffer_bytes: int = _BUFFER_BYTES) -> BinaryIO:
        """Open a seekable binary file for reading; the caller closes it."""
        if is_local_uri(uri):
            return open(local_path(uri), "rb")
        filesystem, path = self.resolve_remote(uri)
        if s3 := self._s3_client(filesystem):
            from curation.storage.s3_file import S3File

            return cast(BinaryIO, io.BufferedReader(S3File(s3, path), buffer_bytes))
        return cast(BinaryIO, filesystem.open(path, "rb"))

    def read_parquet(self, uri: str, columns: list[str] | None = None) -> pa.Table:
        """Read a whole Parquet file, or some columns in the given order.

        Only the calling thread reads: Arrow's own threads would call back into Python, and can
        abort a process that is exiting.
        """
        with self.open_input(uri) as source:
            table = pq.ParquetFile(source, pre_buffer=False).read(columns, use_threads=False)
        return table.select(columns) if columns else table

    def put(self, uri: str, data: bytes) -> None:
        """Write a whole file in one atomic step; readers see either the old or the new content."""
        if is_local_uri(uri):
            local = local_path(uri)
            with write_temporary_file(local, data) as temporary:
                os.replace(temporary, local)
            return
        filesystem, path = self.resolve_remote(uri)
        if s3 := self._s3_client(filesystem):
            s3.put(path, data)
        else:
            self.retry(uri, partial(filesystem.pipe_file, path, data))

    def put_new(self, uri: str, data: bytes) -> bool:
        """Create a file in one atomic step. If another file exists, write nothing and return False.

        An existing file with the same bytes counts as written. So if the response to a put is lost,
        the retry, by this code or by an HTTP client below it, accepts the file of the first
        attempt. On S3 this is one conditional put, so the object must be smaller than the maximum
        of one put (5 GiB).
        """
        if is_local_uri(uri):
            local = local_path(uri)
            with write_temporary_file(local, data) as temporary:
                return move_if_absent(temporary, local) or self.read_bytes(uri) == data
        filesystem, path = self.resolve_remote(uri)
        try:
            if s3 := self._s3_client(filesystem):
                # One request whatever the size: a multipart upload would ignore the condition.
                s3.put(path, data, mode="create", chunksize=5 * 2**30)
            elif self.exists(uri):  # some drivers, the hub's too, do not check it better
                return self.read_bytes(uri) == data
            else:
                self.retry(uri, partial(filesystem.pipe_file, path, data, mode="create"))
        except RetriesExhausted:
            raise
        except OSError:
            # Servers report a failed condition in different ways; the key itself decides.
            if not self.exists(uri):
                raise
            return self.read_bytes(uri) == data
        return True

    def delete(self, uri: str) -> None:
        """Remove one file. Raises FileNotFoundError, OSError."""
        if is_local_uri(uri):
            os.remove(local_path(uri))
        else:
            filesystem, path = self.resolve_remote(uri)
            self.retry(uri, partial(filesystem.rm_file, path))

    def delete_tree(self, uri: str) -> None:
        """Remove a folder and everything below it; do nothing if there is no such folder.

        Raises InputError for a local folder that contains the current directory.
        """
        if not self.exists(uri):
            return
        if is_local_uri(uri):
            delete_local_tree(local_path(uri))
        else:
            filesystem, path = self.resolve_remote(uri)
            # Not found: deleted by another process, or in an attempt whose response was lost.
            with suppress(FileNotFoundError):
                self.retry(uri, partial(filesystem.rm, path, recursive=True))

    def retry(self, uri: str, call: Callable[[], T]) -> T:
        """Return the result of `call`; transient faults are retried for `run_retry_timeout_s`."""
        return call_with_retries(uri, self.settings.run_retry_timeout_s, call)

    def _s3_client(self, filesystem: "AbstractFileSystem") -> "S3Client | None":
        if "s3" not in filesystem.protocol:
            return None
        from curation.storage.s3 import S3Client

        return S3Client(filesystem, self.settings)
