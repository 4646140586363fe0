"""A limit of memory on one process, so that the kernel kills it when it grows; needs root."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_ROOTS = (Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup"))
_LIMITS = ("memory.limit_in_bytes", "memory.max")  # of the two versions of cgroups


def can_be_limited() -> bool:
    """Whether this process may create a cgroup with a limit of memory."""
    try:
        with memory_limit(1 << 30):
            return True
    except OSError:
        return False


@contextmanager
def memory_limit(limit: int) -> Iterator[Path]:
    """A cgroup with a limit of bytes; a process that writes its id to this file joins it.

    Only memory that it takes afterwards counts. Raises OSError if none can be created.
    """
    root = next((root for root in _ROOTS if (root / "cgroup.procs").exists()), _ROOTS[-1])
    group = root / f"tagscribe-{os.getpid()}"
    group.mkdir()
    try:
        name = next((name for name in _LIMITS if (group / name).exists()), _LIMITS[-1])
        (group / name).write_text(str(limit))
        yield group / "cgroup.procs"
    finally:
        with suppress(OSError):  # a process of it has not yet ended
            group.rmdir()
