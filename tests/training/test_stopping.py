"""Ctrl-C and SIGTERM: a checkpoint of the step under way, and the same command goes on from it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from curation.storage.files import Storage
from tests.support.processes import restore_ctrl_c
from tests.support.runs import write_yaml
from tests.training.test_pretrain import config_of, steps_saved, table
from training import run_folder
from training.interrupts import SignalStopRequest, TrainingStopped
from training.tracking import read_metrics

__all__ = ["table"]

BIN = Path(sys.executable).parent
# More than will be trained.
ENDLESS: dict[str, Any] = {
    "schedule": {"epochs": 100_000},
    "saving": {"checkpoint_every_steps": 10_000, "checkpoint_every_s": None},
}


def steps_logged(run: Path) -> list[int]:
    return [line["step"] for line in read_metrics(Storage(), run_folder.metrics_uri(str(run)))]


@contextmanager
def started(*command: object) -> Iterator["subprocess.Popen[str]"]:
    """A command as in a terminal, the leader of its process group; killed where the test fails."""
    running = subprocess.Popen(
        list(map(str, command)),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=restore_ctrl_c,
    )
    try:
        yield running
    finally:
        if running.poll() is None:
            os.killpg(running.pid, signal.SIGKILL)
            running.communicate()


def wait_for_step(command: "subprocess.Popen[str]", run: Path, step: int) -> None:
    deadline = time.monotonic() + 240
    while max(steps_logged(run), default=0) < step:
        assert command.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.slow
def test_a_signal_to_all_processes_of_a_training(table: str, tmp_path: Path) -> None:
    """As a terminal sends Ctrl-C and a scheduler SIGTERM; the decoders get them too."""
    run = tmp_path / "run"
    data = {"tables": [table], "workers": 1}
    settings = write_yaml(config_of(table, run, data=data, **ENDLESS), tmp_path)
    reached = 0
    for sent in (signal.SIGINT, signal.SIGTERM):
        with started(BIN / "tagscribe-train", "pretrain", settings, "--quiet") as command:
            wait_for_step(command, run, reached + 3)
            os.killpg(command.pid, sent)
            _, errors = command.communicate(timeout=120)
        assert command.returncode == 128 + sent
        assert reached + 3 <= (reached := steps_saved(run)[-1])
        assert f"stopped at step {reached:,} of" in errors
        assert "Traceback" not in errors and "KeyboardInterrupt" not in errors
        # Each step once, up to the checkpoint.
        lines = (run / "metrics.jsonl").read_text().splitlines()
        assert len(lines) == reached and steps_logged(run) == list(range(1, reached + 1))


@pytest.mark.slow
def test_processes_of_a_torchrun_stop_at_the_same_step(table: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    settings = write_yaml(config_of(table, run, **ENDLESS), tmp_path)
    arguments = [
        *(BIN / "torchrun", "--standalone", "--nproc-per-node=2"),
        *(BIN / "tagscribe-train", "pretrain", settings, "--quiet"),
    ]
    # SIGTERM to one of the two, which decides nothing alone.
    with started(*arguments) as command:
        wait_for_step(command, run, 3)
        [_, second] = workers_of(command)
        second.send_signal(signal.SIGTERM)
        _, errors = command.communicate(timeout=120)
    assert command.returncode
    reached = steps_saved(run)[-1]
    assert reached >= 3 and errors.count(f"stopped at step {reached:,} of") == 1
    # Ctrl-C, which torchrun passes on to both.
    with started(*arguments) as command:
        wait_for_step(command, run, reached + 3)
        command.send_signal(signal.SIGINT)
        _, errors = command.communicate(timeout=120)
    assert command.returncode
    ended = steps_saved(run)[-1]
    assert ended >= reached + 3 and f"stopped at step {ended:,} of" in errors
    assert steps_logged(run) == list(range(1, ended + 1))


def workers_of(torchrun: "subprocess.Popen[str]") -> list[psutil.Process]:
    """The processes of a torchrun in the order of their ranks."""
    children = psutil.Process(torchrun.pid).children()
    ranked = {child.environ().get("RANK"): child for child in children}
    return [ranked[str(rank)] for rank in range(2)]


def test_outside_of_steps_a_signal_stops_at_once() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with SignalStopRequest() as stop, pytest.raises(TrainingStopped, match="at once") as stopped:
        os.kill(os.getpid(), signal.SIGTERM)
    assert stopped.value.signal_number == signal.SIGTERM and stop.poll() == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is before


def test_between_steps_a_signal_waits_and_a_second_one_does_not() -> None:
    with SignalStopRequest() as stop, pytest.raises(TrainingStopped), stop.deferred():
        assert stop.poll() == 0
        os.kill(os.getpid(), signal.SIGINT)
        # The same key press, delivered twice.
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.poll() == signal.SIGINT
        time.sleep(1.1)
        os.kill(os.getpid(), signal.SIGINT)
        pytest.fail("went on after a second signal")


def test_a_signal_after_the_last_step_is_not_lost() -> None:
    with (
        SignalStopRequest(once=True) as stop,
        pytest.raises(TrainingStopped, match="at once"),
        stop.deferred(),
    ):
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
