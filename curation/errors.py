"""Errors that end a command with a message instead of a traceback.

`exit_code` is the exit code of the command. docs/engine.md lists all exit codes.
"""

import errno
import shutil
from collections.abc import Iterator
from pathlib import Path

from curation.units import format_bytes


class InputError(ValueError):
    """The input is wrong. The message states what was found, what was expected and what to do."""

    exit_code = 1


class FormatError(InputError):
    """A file has a format number that this version cannot read."""

    def __init__(self, place: str, found: object, expected: object, remedy: str) -> None:
        super().__init__(f"{place}: format {found}, this version reads {expected}; {remedy}")


class RunError(RuntimeError):
    """A run could not finish for a reason other than its input; the message states the reason."""

    exit_code = 1


class FirstClipsFailedError(RunError):
    """The first clips of a run all failed with the same error, so the run stopped.

    No error rows were written.
    """

    exit_code = 3


class TooManyFailedError(RunError):
    """All clips of a run were processed, but more of them failed than its configuration allows."""

    exit_code = 4


class DiskFullError(RunError, OSError):
    """A disk is full, or a quota is exhausted."""

    def __init__(self, path: str | None) -> None:
        """`path`: the file that could not be written, if known."""
        room = "no space left on a disk, or in a quota" if path is None else _describe_room(path)
        super().__init__(f"{room}; free some, and give the command again")


def is_disk_full(error: BaseException) -> bool:
    """Whether an error, or one of its causes, means a full disk or an exhausted quota."""
    for cause in _iter_causes(error):
        if isinstance(cause, DiskFullError):
            return True
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        # Libraries in Rust pass the system's message on as text.
        if "No space left on device" in str(cause):
            return True
    return False


def describe_disk_full(error: BaseException) -> str:
    """Return the message for a full disk: the file, if known, and what to do."""
    return str(error) if isinstance(error, DiskFullError) else str(DiskFullError(_path_of(error)))


def _path_of(error: BaseException) -> str | None:
    """The file that an error, or one of its causes, names."""
    for cause in _iter_causes(error):
        if isinstance(cause, OSError) and isinstance(cause.filename, str):
            return cause.filename
    return None


def _iter_causes(error: BaseException) -> Iterator[BaseException]:
    """An error, the error that caused it, and so on; each once."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__


def _describe_room(path: str) -> str:
    """How much room there is on the disk of a path, of which some parents may be missing."""
    folder = next((each for each in Path(path).absolute().parents if each.is_dir()), Path("/"))
    try:
        free = shutil.disk_usage(folder).free
    except OSError:
        return f"{path}: no space left on its disk, or in the quota"
    return f"{path}: no space left on its disk, or in the quota ({format_bytes(free)} free)"
