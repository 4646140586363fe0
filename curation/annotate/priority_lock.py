"""A lock granted to the oldest waiting shard. The holder keeps it until it finishes or waits."""

import heapq
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count


class PriorityLock:
    """Guards models that several shards share; the oldest waiting shard gets it first.

    With a plain lock two shards alternate batch by batch, so both end together, and the models are
    idle while the next two are decoded. With this lock a shard keeps the models until it ends or
    waits for decoded audio. A newer shard uses such gaps, and continues when the older one ends.
    """

    def __init__(self) -> None:
        self._arrivals = count()
        self._changed = threading.Condition()
        self._waiting: list[int] = []
        self._taken = False

    @contextmanager
    def register(self) -> Iterator["LockHandle"]:
        """A handle whose priority is its time of registration; released at the end of the block."""
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
    """The handle of one shard; it keeps its priority when it acquires the lock again."""

    def __init__(self, lock: PriorityLock, arrival: int) -> None:
        self._lock = lock
        self._arrival = arrival
        self._held = False

    def acquire(self) -> None:
        """Wait until the lock is free and no older handle waits; no effect if it is held."""
        if not self._held:
            self._lock._acquire(self._arrival)
            self._held = True

    def release(self) -> None:
        """Release the lock, if it is held."""
        if self._held:
            self._held = False
            self._lock._release()
