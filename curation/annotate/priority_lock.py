"""A lock that is granted to the oldest waiting shard.

The holder keeps the lock until it finishes or waits for audio.
"""

import heapq
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count


class PriorityLock:
    """Guards the models that several shards share. The oldest waiting shard gets the lock first.

    With a plain lock two shards alternate batch by batch. Both then end at the same time, and the
    models are idle while the next two shards are decoded. With this lock a shard keeps the models
    until it ends or waits for decoded audio. A newer shard uses the models during such a wait.
    """

    def __init__(self) -> None:
        self._arrivals = count()
        self._changed = threading.Condition()
        self._waiting: list[int] = []
        self._taken = False

    @contextmanager
    def register(self) -> Iterator["LockHandle"]:
        """Yield a handle whose priority is the time of this call.

        The handle is released at the end of the `with` block.
        """
        handle = LockHandle(self, next(self._arrivals))
        try:
            yield handle
        finally:
            handle.release()

    def _acquire(self, arrival: int) -> None:
        with self._changed:
            heapq.heappush(self._waiting, arrival)
            self._changed.wait_for(lambda: not self._taken and self._waiting[0] == arrival)
            heapq.heappop(self._waiting)
            self._taken = True

    def _release(self) -> None:
        with self._changed:
            self._taken = False
            self._changed.notify_all()


class LockHandle:
    """A shard's handle of a `PriorityLock`. A handle never changes its priority."""

    def __init__(self, lock: PriorityLock, arrival: int) -> None:
        self._lock = lock
        self._arrival = arrival
        self._held = False

    def acquire(self) -> None:
        """Wait until the lock is free and no older handle waits.

        Does nothing if this handle holds the lock.
        """
        if not self._held:
            self._lock._acquire(self._arrival)
            self._held = True

    def release(self) -> None:
        """Release the lock if this handle holds it."""
        if self._held:
            self._held = False
            self._lock._release()
