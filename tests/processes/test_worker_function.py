"""A function in a process of its own, with what a worker of a pool would have."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from curation.annotate.pools import Pool
from curation.errors import InputError, RunError
from curation.processes.worker_function import call_as_worker
from tests.support.processes import restore_ctrl_c
from tests.support.runs import corpus_run, write_yaml


def pool(gpus: float = 0.0) -> Pool:
    return Pool("annotate.pools.captioners", 1, 1, cpus=3, gpus=gpus, node_resource=None)


class OddError(Exception):
    """An error that cannot be unpickled."""

    def __init__(self, name: str, place: int) -> None:
        super().__init__(f"{name} at {place}")
        self.lock = (each for each in name)


def raise_odd() -> None:
    raise OddError("odd", 3)


def test_it_is_called_in_another_process_and_its_result_comes_back() -> None:
    assert call_as_worker(pool(), os.getpid) != os.getpid()
    assert call_as_worker(pool(), sorted, [3, 1, 2]) == [1, 2, 3]


@pytest.mark.parametrize(
    ("gpus", "visible"), [(0.0, ""), (0.25, "GPU-a"), (1.0, "GPU-a"), (2.0, "GPU-a,GPU-b")]
)
def test_it_sees_the_gpus_of_one_worker(
    gpus: float, visible: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a,GPU-b,GPU-c")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert call_as_worker(pool(gpus), os.getenv, "CUDA_VISIBLE_DEVICES") == visible
    assert call_as_worker(pool(gpus), os.getenv, "OMP_NUM_THREADS") == "3"


def test_a_pool_that_wants_more_gpus_than_there_are_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    with pytest.raises(InputError, match=r"captioners: 1 actors of 3 CPUs and 2 GPUs .* 1 GPUs"):
        call_as_worker(pool(2.0), os.getpid)


def test_what_it_raises_is_raised_here() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        call_as_worker(pool(), int, "x")
    with pytest.raises(RunError, match="OddError: odd at 3"):
        call_as_worker(pool(), raise_odd)


def test_its_death_is_an_error_of_its_own() -> None:
    with pytest.raises(
        RunError, match=r"measures annotate.pools.captioners died \(SIGABRT\); the plan is "
    ):
        call_as_worker(pool(), os.abort)


def test_ctrl_c_ends_it_with_the_plan_that_measures(corpus: Path, tmp_path: Path) -> None:
    config = corpus_run(corpus, tmp_path / "run")
    plan, children = start_plan(write_yaml(config, tmp_path))
    plan.send_signal(signal.SIGINT)
    _, errors = plan.communicate(timeout=60)
    assert plan.returncode == 130
    assert errors.splitlines()[-1] == (
        f"tagscribe: interrupted: {config.run} has evidence of 0 of 40 clips, and no table; "
        "the same command goes on from there."
    )
    assert "Traceback" not in errors
    assert psutil.wait_procs(children, timeout=30)[1] == []


def test_a_killed_process_ends_the_plan_that_measures_with_one_line(
    corpus: Path, tmp_path: Path
) -> None:
    config = corpus_run(corpus, tmp_path / "run")
    plan, children = start_plan(write_yaml(config, tmp_path))
    children[0].kill()
    _, errors = plan.communicate(timeout=60)
    assert plan.returncode == 1
    assert errors.splitlines()[-1] == (
        "tagscribe: the process that measures annotate.actors died (SIGKILL); the plan is written, "
        "and the same command measures again"
    )
    assert "Traceback" not in errors


def start_plan(path: Path) -> tuple[subprocess.Popen[str], list[psutil.Process]]:
    """`tagscribe plan` of a YAML when it measures, and the processes that do."""
    plan = subprocess.Popen(
        [Path(sys.executable).parent / "tagscribe", "plan", path],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=restore_ctrl_c,
    )
    deadline = time.monotonic() + 120
    while not (children := list_functions(plan.pid)):
        assert plan.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    return plan, children


def list_functions(plan_pid: int) -> list[psutil.Process]:
    found = []
    for child in psutil.Process(plan_pid).children():
        with suppress(psutil.NoSuchProcess):  # one of git, which has ended
            if "curation.processes.function_main" in child.cmdline():
                found.append(child)
    return found
