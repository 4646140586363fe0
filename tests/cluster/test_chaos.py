"""Whatever dies and whenever: the run comes out as if nothing had happened.

Each seed has some of the faults here, and the proxy's all along; `make chaos` gives each all.
"""

from contextlib import ExitStack

import pytest

from tests.chaos import Scene
from tests.support.network import can_be_made, network
from tests.support.rados_gateway import Gateway


@pytest.fixture(scope="module")
def scene(rados_gateway: Gateway) -> Scene:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in rados_gateway.environment.items():
            patch.setenv(name, value)
        # Two actors on three workers: every one that starts loads the models anew.
        return Scene(rados_gateway, actors=2)


STRIKES = (("driver", "storage"), ("worker", "head"), ("node", "cable"))


@pytest.mark.parametrize("seed", range(len(STRIKES)))
def test_a_disturbed_run_is_the_undisturbed_one(
    scene: Scene, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in scene.server.environment.items():
        monkeypatch.setenv(name, value)
    strikes = STRIKES[seed]
    with ExitStack() as stack:
        net = None
        if "cable" in strikes and can_be_made():
            net = stack.enter_context(network())
        else:  # on loopback no node can be cut off
            strikes = tuple(fault for fault in strikes if fault != "cable")
        outcome = scene.play(seed, strikes, net)
    assert {fault.split()[0] for fault in outcome.struck} == set(strikes)
    assert outcome.requests["requests"] > outcome.requests["slow_down"] > 0
