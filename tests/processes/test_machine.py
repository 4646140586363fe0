"""How many workers a machine has room for, and which GPU each one gets."""

import os

import pytest

from curation.config.annotate import AnnotateConfig
from curation.errors import InputError
from curation.processes.machine import count_cpus, size_pool, worker_environment

FOUR_GPUS = "0,2,5,7"


@pytest.mark.parametrize(
    ("settings", "tasks", "gpus"),
    [
        ({}, 100, [[]] * count_cpus()),
        ({"actors": 3}, 100, [[], [], []]),
        ({"actors": [3, 9]}, 100, [[]] * max(3, min(9, count_cpus()))),
        ({"actors": 3}, 2, [[], []]),
        ({"gpus_per_actor": 1}, 100, [["0"], ["2"], ["5"], ["7"]]),
        ({"gpus_per_actor": 2}, 100, [["0", "2"], ["5", "7"]]),
        ({"gpus_per_actor": 0.5, "actors": 3}, 100, [["0"], ["0"], ["2"]]),
        ({"gpus_per_actor": 0.33}, 100, [[gpu] for gpu in "000222555777"]),
    ],
)
def test_each_worker_gets_its_share(
    settings: dict, tasks: int, gpus: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", FOUR_GPUS)
    pool = size_pool(AnnotateConfig.model_validate(settings), tasks)
    assert pool.max_actors == len(gpus)
    visible = [
        worker_environment(pool, index)["CUDA_VISIBLE_DEVICES"] for index in range(len(gpus))
    ]
    assert visible == [",".join(names) for names in gpus]


@pytest.mark.parametrize(
    "settings", [{"gpus_per_actor": 8}, {"gpus_per_actor": 1, "actors": 5}, {"gpus_per_actor": 0.5}]
)
def test_more_gpus_than_there_are_is_an_error(
    settings: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "" if settings["gpus_per_actor"] < 1 else FOUR_GPUS)
    with pytest.raises(InputError, match="do not fit on this machine, which has [04] GPUs; set"):
        size_pool(AnnotateConfig.model_validate(settings), 100)


def test_threads_are_those_of_the_pool_unless_the_user_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pool = size_pool(AnnotateConfig(model_threads=1, cpus_per_actor=3, actors=1), 1)
    monkeypatch.delitem(os.environ, "OMP_NUM_THREADS", raising=False)
    assert worker_environment(pool, 0)["OMP_NUM_THREADS"] == "3"
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert "OMP_NUM_THREADS" not in worker_environment(pool, 0)
