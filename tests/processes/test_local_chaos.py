"""Local processes over S3: whatever dies and whenever, the run comes out as if nothing had."""

import pytest

from tests.chaos import LOCAL_FAULTS, Scene
from tests.support.rados_gateway import Gateway


@pytest.fixture(scope="module")
def scene(rados_gateway: Gateway) -> Scene:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in rados_gateway.environment.items():
            patch.setenv(name, value)
        return Scene(rados_gateway, actors=2, cluster="local")


def test_a_disturbed_run_is_the_undisturbed_one(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in scene.server.environment.items():
        monkeypatch.setenv(name, value)
    outcome = scene.play(0, LOCAL_FAULTS)
    assert {fault.split()[0] for fault in outcome.struck} == set(LOCAL_FAULTS)
    assert outcome.requests["requests"] > outcome.requests["slow_down"] > 0
