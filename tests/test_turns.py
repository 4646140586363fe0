"""Who gets a turn: one at a time, and the eldest that waits."""

import threading

import pytest

from curation.turns import Turns


def test_of_those_who_wait_the_eldest_is_next() -> None:
    turns = Turns()
    ages = [turns.age() for _ in range(4)]
    order: list[int] = []

    def work(age: int) -> None:
        with turns.turn(age):
            order.append(age)

    waiting = [threading.Thread(target=work, args=(age,)) for age in reversed(ages[1:])]
    with turns.turn(ages[0]):
        for position, thread in enumerate(waiting, start=1):
            thread.start()
            while len(turns._waiting) < position:
                pass
        assert order == []
    for thread in waiting:
        thread.join()
    assert order == ages[1:]


def test_the_same_work_may_have_another_turn() -> None:
    turns = Turns()
    age = turns.age()
    for _ in range(2):
        with turns.turn(age):
            assert turns._owner == age
    assert turns._owner is None


def test_turns_within_a_turn_are_had_at_once_and_end_with_it() -> None:
    turns = Turns()
    elder, younger = turns.age(), turns.age()
    order: list[str] = []

    def wait() -> None:
        with turns.turn(elder):
            order.append("elder")

    waiting = threading.Thread(target=wait)
    with turns.turn(younger):
        waiting.start()
        while not turns._waiting:
            pass
        for _ in range(2):
            with turns.turn(younger):
                order.append("younger")
    waiting.join()
    assert order == ["younger", "younger", "elder"]


def test_a_turn_that_fails_is_over() -> None:
    turns = Turns()
    with pytest.raises(RuntimeError, match="no memory"), turns.turn(turns.age()):
        raise RuntimeError("no memory")
    age = turns.age()
    with turns.turn(age):
        assert turns._owner == age
