"""Local files: reading, sorted listing, and writing to a temporary file that is then moved."""

import errno
import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from curation.errors import DiskFullError, InputError
from curation.uris import local_uri

# What os.link raises where it is not supported; EPERM is that of FAT and of CIFS.
_NO_HARD_LINKS = frozenset(
    {errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL, errno.EMLINK}
)


class FileInfo(NamedTuple):
    """One entry of a listing, local or remote."""

    uri: str
    size_bytes: int


OnSkip = Callable[[str, str], None]


def list_local_files(folder: str, on_skip: OnSkip) -> Iterator[FileInfo]:
    """List the files below a folder, sorted by path; links are followed, without cycles.

    This is like fsspec's `find`, but needs a fraction of the memory. A name that is not UTF-8
    becomes a file:// URI.

    Args:
        on_skip: called with path and kind of each skipped entry: a broken link, a link to a folder
            that contains it, a pipe.
    """
    with suppress(FileNotFoundError, NotADirectoryError):
        yield from _list_below(folder, (_identity(folder),), on_skip)


def _list_below(
    folder: str, above: tuple[tuple[int, int], ...], on_skip: OnSkip
) -> Iterator[FileInfo]:
    try:
        # With its slash a folder sorts among its siblings as the paths below it do.
        entries = sorted((e.name + "/" * _is_folder(e), e) for e in os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return
    for name, entry in entries:
        try:
            found = entry.stat()
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ELOOP):
                raise
            # Else moved or deleted meanwhile by another process.
            if entry.is_symlink():
                on_skip(entry.path, "a broken link")
            continue
        if stat.S_ISDIR(found.st_mode):
            identity = (found.st_dev, found.st_ino)
            if identity in above:
                on_skip(entry.path, "a link to a folder that it lies in")
            elif name.endswith("/"):
                yield from _list_below(entry.path, (*above, identity), on_skip)
        elif stat.S_ISREG(found.st_mode):
            yield FileInfo(local_uri(entry.path), found.st_size)
        else:
            on_skip(entry.path, "neither a file nor a folder")


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _identity(folder: str) -> tuple[int, int]:
    found = os.stat(folder)
    return found.st_dev, found.st_ino


def read_local_file(path: str, start: int | None, end: int | None) -> bytes:
    """Read a whole file, or its bytes from `start` up to `end`."""
    with open(path, "rb") as file:
        file.seek(start or 0)
        return file.read(-1 if end is None else max(0, end - (start or 0)))


def delete_local_tree(path: str) -> None:
    """Remove a folder and its content.

    Raises InputError if the folder contains the current directory.
    """
    if Path.cwd().is_relative_to(os.path.realpath(path)):
        raise InputError(
            f"{path}: not deleted, because it contains the current directory; change to another one"
        )
    shutil.rmtree(path)


@contextmanager
def explain_full_disk(path: str) -> Iterator[None]:
    """Convert the system's error of a full disk in the block into DiskFullError with `path`."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFullError(path) from error
        raise


@contextmanager
def write_temporary_file(path: str, data: bytes) -> Iterator[str]:
    """Write a synced temporary dot-file beside `path`, and yield the temporary path to the block.

    The block moves the file to its final name. If it does not, the file is deleted at the end of
    the block. Raises OSError, and DiskFullError if there is no space, also for errors within the
    block.
    """
    temporary = None
    try:
        with explain_full_disk(path):
            folder = Path(path).parent
            folder.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=folder, prefix=f".{Path(path).name}.")
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o644)
            yield temporary
    finally:
        if temporary is not None:
            with suppress(FileNotFoundError):
                os.unlink(temporary)


def move_if_absent(temporary: str, path: str) -> bool:
    """Move a file to its name in one atomic step; if the name is taken, return False.

    The move uses a hard link. On file systems without hard links (exFAT, some network shares and
    FUSE), the folder is locked during the move. The lock works among processes of this machine.
    Among machines it works only if the file system forwards locks.
    """
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        return _rename_under_lock(temporary, path)
    return True


def _rename_under_lock(temporary: str, path: str) -> bool:
    folder = os.open(os.path.dirname(path), os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        if os.path.lexists(path):
            return False
        os.rename(temporary, path)
        return True
    finally:
        os.close(folder)  # and with it the lock
