"""Limits the bytes of encoded audio that are read and not yet decoded.

The limit covers the files and rows of clips. It does not cover data in socket buffers, or the
cached row groups of Parquet catalogs (`catalog.clip_bytes`, 256 MiB).
"""

import threading
from collections import deque


class ObjectTooLargeError(OSError):
    """An object is larger than the whole budget."""


class ReadBudget:
    """Limits the number of bytes held at once; requests are granted in the order of arrival."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.held_bytes = 0
        self.peak_bytes = 0
        self._changed = threading.Condition()
        self._queue: deque[object] = deque()

    def acquire(self, size_bytes: int) -> None:
        """Wait until this many bytes are free, and then hold them. Raises ObjectTooLargeError."""
        if size_bytes > self.limit_bytes:
            raise ObjectTooLargeError(
                f"{size_bytes} bytes, more than the {self.limit_bytes} that may be read ahead; "
                "raise storage.read_ahead_mb"
            )
        ticket = object()
        with self._changed:
            self._queue.append(ticket)
            # In order of arrival, so that many small objects cannot starve a large one.
            self._changed.wait_for(
                lambda: (
                    self._queue[0] is ticket and self.held_bytes + size_bytes <= self.limit_bytes
                )
            )
            self._queue.popleft()
            self.held_bytes += size_bytes
            self.peak_bytes = max(self.peak_bytes, self.held_bytes)
            self._changed.notify_all()

    def release(self, size_bytes: int) -> None:
        with self._changed:
            self.held_bytes -= size_bytes
            self._changed.notify_all()


class ReadReservation:
    """The bytes of a budget that are held for one object; 0 until the object's size is known."""

    def __init__(self, budget: ReadBudget) -> None:
        self._budget = budget
        self._held_bytes = 0

    def acquire(self, size_bytes: int) -> None:
        """Hold this many bytes; bytes held for an earlier attempt are released first.

        Raises ObjectTooLargeError if the object is larger than the whole budget.
        """
        if size_bytes != self._held_bytes:
            self.release()
            self._budget.acquire(size_bytes)
            self._held_bytes = size_bytes

    def release(self) -> None:
        if self._held_bytes:
            self._budget.release(self._held_bytes)
            self._held_bytes = 0
