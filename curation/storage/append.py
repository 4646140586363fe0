"""Files that only grow, such as logs: lines are appended, and existing lines are never rewritten.

Object storage cannot append. There such a file is a folder with the file's name, and each append
writes one object into the folder. The objects' names sort by the time of writing.
"""

import os
import time
import uuid

from curation.storage.files import Storage
from curation.storage.local import explain_full_disk
from curation.uris import is_local_uri, join_uri, local_path


def append_line(storage: Storage, uri: str, data: bytes) -> None:
    """Append one or more whole lines, with their line ends, to a file; create it if needed.

    If a crash cut an earlier line short, that line stays, and the new lines start after it. Raises
    OSError, and DiskFullError if there is no space.
    """
    if not is_local_uri(uri):
        storage.put(join_uri(uri, f"{time.time_ns():020d}-{uuid.uuid4().hex[:8]}.jsonl"), data)
        return
    path = local_path(uri)
    with explain_full_disk(path):
        _append_local(path, data)


def _append_local(path: str, data: bytes) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        size = os.fstat(file).st_size
        if size and os.pread(file, 1, size - 1) != b"\n":
            data = b"\n" + data
        while data:
            data = data[os.write(file, data) :]
    finally:
        os.close(file)


def read_lines(storage: Storage, uri: str) -> list[bytes]:
    """Read the lines of a file that `append_line` wrote; none if there is no file.

    A line that a crash cut short is included.
    """
    if not is_local_uri(uri):
        parts = [storage.read_bytes(each.uri) for each in storage.list_files(uri)]
        return b"".join(parts).splitlines()
    try:
        return storage.read_bytes(uri).splitlines()
    except FileNotFoundError:
        return []


def read_newest_line(storage: Storage, uri: str, longest: int = 2**16) -> bytes | None:
    """Read the last complete line without reading the whole file.

    Returns None if there is no such line of at most `longest` bytes. Raises OSError.
    """
    start = None
    if is_local_uri(uri):
        try:
            start = max(0, os.path.getsize(local_path(uri)) - longest)
        except FileNotFoundError:
            return None
    else:
        parts = [each.uri for each in storage.list_files(uri)]
        if not parts:
            return None
        uri = parts[-1]
    whole = storage.read_bytes(uri, start).rpartition(b"\n")[0]
    return whole.rpartition(b"\n")[2] or None
