"""Who gets a turn: one at a time, as long as they like, and then the eldest that waits."""

import threading
import time
from collections.abc import Callable

import pytest

from curation.annotate.priority_lock import Turn, Turns


def started(work: Callable[[], None], turns: Turns, waiting: int) -> threading.Thread:
    """A thread at work, which is one of so many that wait for their turn."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    while len(turns._waiting) < waiting:
        time.sleep(0.001)
    return thread


def test_of_those_who_wait_the_eldest_is_next() -> None:
    turns = Turns()
    order: list[int] = []
    with turns.join() as first, turns.join() as second, turns.join() as third:
        first.take()

        def work(turn: Turn, name: int) -> Callable[[], None]:
            def do() -> None:
                turn.take()
                order.append(name)
                turn.leave()

            return do

        threads = [started(work(third, 3), turns, 1), started(work(second, 2), turns, 2)]
        assert order == []
        first.leave()
        for thread in threads:
            thread.join()
    assert order == [2, 3]


def test_who_has_the_turn_keeps_it_and_who_leaves_it_keeps_its_age() -> None:
    turns = Turns()
    order: list[str] = []
    with turns.join() as elder, turns.join() as younger:
        younger.take()

        def work() -> None:
            elder.take()
            elder.take()
            order.append("elder")
            elder.leave()

        thread = started(work, turns, 1)
        younger.take()
        order.append("younger")
        younger.leave()
        younger.take()
        order.append("younger again")
        thread.join()
    assert order == ["younger", "elder", "younger again"]


def test_work_that_fails_leaves_its_turn() -> None:
    turns = Turns()
    with pytest.raises(RuntimeError, match="no memory"), turns.join() as turn:
        turn.take()
        raise RuntimeError("no memory")
    with turns.join() as turn:
        turn.take()
        assert turns._taken
    assert not turns._taken
