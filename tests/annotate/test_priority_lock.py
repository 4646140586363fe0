"""The lock is held by one shard at a time, and granted to the oldest that waits."""

import threading
import time
from collections.abc import Callable

import pytest

from curation.annotate.priority_lock import LockHandle, PriorityLock


def started(work: Callable[[], None], lock: PriorityLock, waiting: int) -> threading.Thread:
    """A thread at work, which is one of so many that wait for their handle."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    while len(lock._waiting) < waiting:
        time.sleep(0.001)
    return thread


def test_the_oldest_waiting_handle_is_next() -> None:
    lock = PriorityLock()
    order: list[int] = []
    with lock.register() as first, lock.register() as second, lock.register() as third:
        first.acquire()

        def work(handle: LockHandle, name: int) -> Callable[[], None]:
            def do() -> None:
                handle.acquire()
                order.append(name)
                handle.release()

            return do

        threads = [started(work(third, 3), lock, 1), started(work(second, 2), lock, 2)]
        assert order == []
        first.release()
        for thread in threads:
            thread.join()
    assert order == [2, 3]


def test_a_holder_keeps_the_lock_and_a_released_handle_keeps_its_priority() -> None:
    lock = PriorityLock()
    order: list[str] = []
    with lock.register() as older, lock.register() as newer:
        newer.acquire()

        def work() -> None:
            older.acquire()
            older.acquire()
            order.append("older")
            older.release()

        thread = started(work, lock, 1)
        newer.acquire()
        order.append("newer")
        newer.release()
        newer.acquire()
        order.append("newer again")
        thread.join()
    assert order == ["newer", "older", "newer again"]


def test_work_that_fails_releases_the_lock() -> None:
    lock = PriorityLock()
    with pytest.raises(RuntimeError, match="no memory"), lock.register() as handle:
        handle.acquire()
        raise RuntimeError("no memory")
    with lock.register() as handle:
        handle.acquire()
        assert lock._taken
    assert not lock._taken
