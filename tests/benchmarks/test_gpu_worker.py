"""Measurements in a process of their own: what ends one of them ends no other."""

from collections.abc import Iterator

import pytest

from benchmarks.gpu.worker import Worker


@pytest.fixture
def worker() -> Iterator[Worker]:
    started = Worker()
    yield started
    started.close()


def test_a_value_comes_back(worker: Worker) -> None:
    outcome = worker.call("math:sqrt", 4, limit_s=60)
    assert (outcome.value, outcome.failed) == (2.0, None)


def test_calls_share_a_process_until_one_fails(worker: Worker) -> None:
    first = worker.call("os:getpid", limit_s=60).value
    assert worker.call("os:getpid", limit_s=60).value == first
    failed = worker.call("math:sqrt", -1, limit_s=60).failed
    assert failed is not None and failed.startswith("ValueError: ")
    assert worker.call("os:getpid", limit_s=60).value != first


def test_a_crash_is_a_failure(worker: Worker) -> None:
    outcome = worker.call("os:_exit", 3, limit_s=60)
    assert outcome.failed == "its process ended with status 3"
    assert worker.call("math:sqrt", 4, limit_s=60).value == 2.0


def test_what_takes_too_long_is_stopped(worker: Worker) -> None:
    waits: list[float] = []
    outcome = worker.call("time:sleep", 600, limit_s=1, on_wait=waits.append)
    assert outcome.failed == "not done within 1 s"
    assert 1 <= outcome.seconds < 60
    assert waits
