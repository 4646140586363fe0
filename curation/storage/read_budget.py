"""Encoded audio that is read and not decoded yet: never more of it than a budget allows."""

import threading
from collections import deque


class TooLarge(OSError):
    """An object that does not fit into the budget even alone."""


class Budget:
    """Bytes that may be held at once; who wants more waits, first come, first served."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.held_bytes = 0
        self.high_water_bytes = 0
        self._changed = threading.Condition()
        self._queue: deque[object] = deque()

    def take(self, size_bytes: int) -> None:
        if size_bytes > self.limit_bytes:
            raise TooLarge(
                f"{size_bytes} bytes, more than the {self.limit_bytes} that may be read ahead; "
                "raise storage.read_ahead_mb"
            )
        ticket = object()
        with self._changed:
            self._queue.append(ticket)
            # In turn, so that many small objects cannot keep a large one out for ever.
            self._changed.wait_for(
                lambda: (
                    self._queue[0] is ticket and self.held_bytes + size_bytes <= self.limit_bytes
                )
            )
            self._queue.popleft()
            self.held_bytes += size_bytes
            self.high_water_bytes = max(self.high_water_bytes, self.held_bytes)
            self._changed.notify_all()

    def give_back(self, size_bytes: int) -> None:
        with self._changed:
            self.held_bytes -= size_bytes
            self._changed.notify_all()


class Room:
    """What one object holds of a budget: nothing until its size is known."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._held_bytes = 0

    def fit(self, size_bytes: int) -> None:
        """Hold this much, waiting for it; what was held before, in an earlier attempt, goes.

        Raises TooLarge when it is more than the whole budget.
        """
        if size_bytes != self._held_bytes:
            self.leave()
            self._budget.take(size_bytes)
            self._held_bytes = size_bytes

    def leave(self) -> None:
        if self._held_bytes:
            self._budget.give_back(self._held_bytes)
            self._held_bytes = 0
