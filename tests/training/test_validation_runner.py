"""A long evaluation: no process of the training waits for it, and it is not lost."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
import soundfile

from tests.support.runs import write_yaml
from tests.training.test_pretrain import config_of, table, train
from training.config.pretrain import PretrainConfig
from training.validation_runner import ValidationRunner

__all__ = ["table"]

BIN = Path(sys.executable).parent


@pytest.fixture
def esc50(tmp_path: Path) -> str:
    """Two clips in the layout of ESC-50."""
    folder = tmp_path / "esc50"
    for name in ("meta", "audio"):
        (folder / name).mkdir(parents=True)
    (folder / "meta" / "esc50.csv").write_text(
        "filename,fold,target,category,esc10,src_file,take\n"
        "1-a.wav,1,0,dog,True,1,A\n1-b.wav,1,1,rooster,True,1,A\n"
    )
    for name in ("1-a", "1-b"):
        noise = np.random.default_rng(0).normal(0, 0.1, 8000)
        soundfile.write(folder / "audio" / f"{name}.wav", noise, 16000)
    return str(folder)


class ManualRunner(ValidationRunner):
    """Its evaluations end when the test says so, or when they are awaited."""

    def __init__(self, config: PretrainConfig) -> None:
        super().__init__(config)
        self.events: list[str] = []
        self.ended = False

    def _begin(self, checkpoint: str) -> None:
        self.events.append(f"begin {checkpoint}")
        self.ended = False

    def _has_ended(self) -> bool:
        return self.ended

    def _wait(self) -> None:
        self.ended = True
        self.events.append("wait")

    def _cancel(self) -> None:
        self.events.append("cancel")


def manual_runner(datasets: int = 1) -> ManualRunner:
    validation = [{"dataset": "esc50", "data": "/unused"}] * datasets
    values = {"run": "/unused", "data": {"tables": ["/unused"]}, "validation": validation}
    return ManualRunner(PretrainConfig.model_validate(values))


def test_one_evaluation_at_a_time_and_the_newest_checkpoint_waits() -> None:
    with manual_runner() as runner:
        for checkpoint in ("1", "2", "3"):
            runner.start_validation(checkpoint)
        assert runner.events == ["begin 1"] and runner.in_progress == ["1", "3"]
        runner.ended = True
        assert runner.in_progress == ["3"]
        runner.start_validation("4")
        assert runner.events == ["begin 1", "wait", "begin 4"] and runner.in_progress == ["4"]
        runner.start_validation("5")
    assert runner.events[3:] == ["wait", "begin 5", "wait"]


def test_a_training_that_fails_ends_its_evaluation() -> None:
    with pytest.raises(KeyError), manual_runner() as runner:
        runner.start_validation("1")
        runner.start_validation("2")
        raise KeyError
    assert runner.events == ["begin 1", "cancel"]


def test_nothing_is_evaluated_where_nothing_is_configured() -> None:
    with manual_runner(datasets=0) as runner:
        runner.start_validation("1")
    assert runner.events == []


@pytest.mark.slow
def test_no_process_waits_for_an_evaluation_and_each_has_its_line(
    table: str, esc50: str, tmp_path: Path
) -> None:
    """The first evaluation is held until the training of two processes has ended."""
    run = tmp_path / "run"
    values = config_of(table, run, schedule={"epochs": 1}).model_dump()
    values["validation"] = [{"dataset": "esc50", "data": esc50}]
    settings = write_yaml(PretrainConfig.model_validate(values), tmp_path)
    torchrun = [BIN / "torchrun", "--standalone", "--nproc-per-node=2"]
    command = subprocess.Popen(
        [*torchrun, BIN / "tagscribe-train", "pretrain", settings, "--quiet"]
    )
    try:
        [evaluation] = wait_for_descendants(command, "training.validation", 1)
        evaluation.suspend()
        # The leading process stays, for the evaluation; the other one ends.
        wait_for_descendants(command, "pretrain", 1, lambda: (run / "model/config.json").exists())
        assert evaluation.status() == psutil.STATUS_STOPPED
        assert not (run / "validation.jsonl").exists()
        evaluation.resume()
        assert command.wait(timeout=240) == 0
    finally:
        with suppress(psutil.NoSuchProcess):
            for each in psutil.Process(command.pid).children(recursive=True):
                each.kill()
        command.kill()
    lines = [json.loads(line) for line in (run / "validation.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [3, 4]


def wait_for_descendants(
    command: "subprocess.Popen[bytes]",
    word: str,
    count: int,
    condition: Callable[[], bool] = lambda: True,
) -> list[psutil.Process]:
    """Wait until so many processes below a command have a word in theirs, and a condition holds."""
    deadline = time.monotonic() + 240
    while True:
        assert command.poll() is None and time.monotonic() < deadline
        found = []
        for each in psutil.Process(command.pid).children(recursive=True):
            # Ended meanwhile, and perhaps not collected yet.
            with suppress(psutil.NoSuchProcess):
                if word in " ".join(each.cmdline()):
                    found.append(each)
        if condition() and len(found) == count:
            return found
        time.sleep(0.02)


def test_an_evaluation_that_fails_is_named_and_the_training_ends(
    table: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    values = config_of(table, run, schedule={"epochs": 1}).model_dump()
    values["validation"] = [{"dataset": "esc50", "data": str(tmp_path / "nowhere")}]
    train(PretrainConfig.model_validate(values))
    errors = capfd.readouterr().err
    assert "an evaluation failed (see above)" in errors and str(tmp_path / "nowhere") in errors
    assert (run / "model" / "config.json").exists() and not (run / "validation.jsonl").exists()


def test_a_finished_training_makes_up_for_a_last_evaluation_that_was_stopped(
    table: str, esc50: str, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    values = config_of(table, run, schedule={"epochs": 1}).model_dump()
    train(PretrainConfig.model_validate(values))
    values["validation"] = [{"dataset": "esc50", "data": esc50}]
    config = PretrainConfig.model_validate(values)
    for _ in range(2):
        train(config)
        lines = (run / "validation.jsonl").read_text().splitlines()
        assert [json.loads(line)["step"] for line in lines] == [4]
