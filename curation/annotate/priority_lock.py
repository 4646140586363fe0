"""A lock that is kept as long as there is work, and then goes to the eldest of those who wait."""

import heapq
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count


class Turns:
    """Several pieces of work share what only one may use at a time; who came first goes first.

    A plain lock lets two shards take turns at a model batch by batch, so that both end together
    and the next two are decoded while it waits. Here a shard keeps the models until it ends, or
    waits for its own sound; the younger fills such gaps, and goes on when the elder ends.
    """

    def __init__(self) -> None:
        self._ages = count()
        self._changed = threading.Condition()
        self._waiting: list[int] = []
        self._taken = False

    @contextmanager
    def join(self) -> Iterator["Turn"]:
        """A place among those who share, by when it was asked for; left at the end."""
        turn = Turn(self, next(self._ages))
        try:
            yield turn
        finally:
            turn.leave()

    def _take(self, age: int) -> None:
        with self._changed:
            heapq.heappush(self._waiting, age)
            self._changed.wait_for(lambda: not self._taken and self._waiting[0] == age)
            heapq.heappop(self._waiting)
            self._taken = True

    def _leave(self) -> None:
        with self._changed:
            self._taken = False
            self._changed.notify_all()


class Turn:
    """One piece of work's place; it keeps its age when it leaves the turn and takes it again."""

    def __init__(self, turns: Turns, age: int) -> None:
        self._turns = turns
        self._age = age
        self._held = False

    def take(self) -> None:
        """Wait until nobody has the turn and nobody elder wants it; keep it if it is held."""
        if not self._held:
            self._turns._take(self._age)
            self._held = True

    def leave(self) -> None:
        """Let others have it, if it is held."""
        if self._held:
            self._held = False
            self._turns._leave()
