"""A Ray of our own is started again where this machine was too busy for it."""

import pytest
import ray

from curation.cluster.session import ray_session
from tests.fakes import FailingRayInit


@pytest.mark.parametrize(
    ("init", "calls"),
    [
        (FailingRayInit(2), 3),
        (FailingRayInit(3), 3),
        (FailingRayInit(1, "there is no room in /dev/shm"), 1),
    ],
    ids=["busy for a while", "busy", "another failure"],
)
def test_daemons_that_came_too_late_are_started_again(
    monkeypatch: pytest.MonkeyPatch, init: FailingRayInit, calls: int
) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    try:
        with ray_session("ray", cpus=1):
            started = True
    except Exception as error:
        started = False
        assert str(error) == init._message
    assert (started, init.calls) == (init.calls > init._failures, calls)
