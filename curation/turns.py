"""A lock that goes to the eldest of those who wait."""

import heapq
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count


class Turns:
    """Several pieces of work share what only one may use at a time; who came first goes first.

    A turn may be made of turns: work that has one gets those within it at once.

    A plain lock lets two shards take turns at a model batch by batch, so that both end together
    and the next two are decoded while it waits. Here the elder has it whenever it wants it, the
    younger fills the gaps, and one shard is in full swing when the other one ends.
    """

    def __init__(self) -> None:
        self._ages = count()
        self._changed = threading.Condition()
        self._waiting: list[int] = []
        self._owner: int | None = None

    def age(self) -> int:
        """The age of a piece of work that begins now; hand it to `turn`."""
        return next(self._ages)

    @contextmanager
    def turn(self, age: int) -> Iterator[None]:
        """Wait until nobody has a turn and nobody elder wants one; have it."""
        # Nobody but its owner ever finds itself here.
        if self._owner == age:
            yield
            return
        with self._changed:
            heapq.heappush(self._waiting, age)
            self._changed.wait_for(lambda: self._owner is None and self._waiting[0] == age)
            heapq.heappop(self._waiting)
            self._owner = age
        try:
            yield
        finally:
            with self._changed:
                self._owner = None
                self._changed.notify_all()
