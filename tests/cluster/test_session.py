"""A Ray of our own is started again where this machine was too busy for it."""

from typing import Any

import pytest
import ray

from curation.cluster.session import ray_session

BUSY = "The current node timed out during startup. This could happen because"


class Init:
    """Fails so often as Ray does whose daemons came too late; nothing real does so at will."""

    def __init__(self, failures: int, message: str = BUSY) -> None:
        self.calls = 0
        self._failures, self._message = failures, message

    def __call__(self, **options: Any) -> None:
        self.calls += 1
        if self.calls <= self._failures:
            raise Exception(self._message)


@pytest.mark.parametrize(
    ("init", "calls"),
    [(Init(2), 3), (Init(3), 3), (Init(1, "there is no room in /dev/shm"), 1)],
    ids=["busy for a while", "busy", "another failure"],
)
def test_daemons_that_came_too_late_are_started_again(
    monkeypatch: pytest.MonkeyPatch, init: Init, calls: int
) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    try:
        with ray_session("local", cpus=1):
            started = True
    except Exception as error:
        started = False
        assert str(error) == init._message
    assert (started, init.calls) == (init.calls > init._failures, calls)
