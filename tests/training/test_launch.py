"""The same training under torchrun and under Ray Train: same curve, killed workers, other sizes.

Two processes sum their gradients in another order than one does, and batch norm sees half a batch
in each; so curves of two are compared with curves of two, to a relative 1e-5.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from curation.storage.files import Storage
from tests.support.runs import write_yaml
from tests.training.test_pretrain import STEPS, config_of, curve, cut_back, steps_saved, table
from tests.training.test_stopping import ENDLESS, started, wait_for_step
from training import checkpoints, run_folder
from training.config.pretrain import PretrainConfig

__all__ = ["table"]

TOLERANCE = 1e-5
BIN = Path(sys.executable).parent


def write(config: PretrainConfig, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return write_yaml(config, folder)


def under_ray(table: str, run: Path, workers: int | list[int], **saving: Any) -> list[str | Path]:
    """The command of a training on so many workers."""
    launch = {"cluster": "ray", "workers": workers}
    config = config_of(table, run, launch=launch, saving={"keep_checkpoints": 9, **saving})
    return [BIN / "tagscribe-train", "pretrain", write(config, run.parent), "--quiet"]


def workers_of(command: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The processes in which a training's function runs."""
    children = psutil.Process(command.pid).children(recursive=True)
    return [child for child in children if "RayTrainWorker" in " ".join(child.cmdline())]


def wait_for_checkpoints(command: subprocess.Popen[bytes], run: Path, count: int) -> None:
    deadline = time.monotonic() + 240
    while (
        len(checkpoints.list_checkpoints(Storage(), run_folder.checkpoints_uri(str(run)))) < count
    ):
        assert command.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture(scope="module")
def of_two(table: str, tmp_path_factory: pytest.TempPathFactory) -> dict[int, float]:
    """The curve of two processes of a torchrun."""
    folder = tmp_path_factory.mktemp("torchrun")
    path = write(config_of(table, folder / "run"), folder)
    command = [BIN / "torchrun", "--standalone", "--nproc-per-node=2", BIN / "tagscribe-train"]
    subprocess.run([*command, "pretrain", path, "--quiet"], check=True, timeout=300)
    return curve(folder / "run")


@pytest.mark.usefixtures("own_ray")
def test_killed_in_part_and_whole_on_two_it_goes_on_on_one_and_on_three(
    table: str, of_two: dict[int, float], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    saving = {"checkpoint_every_steps": 1, "keep_checkpoints": 20}
    command = subprocess.Popen(under_ray(table, run, 2, **saving), start_new_session=True)
    wait_for_checkpoints(command, run, 2)
    os.kill(workers_of(command)[-1].pid, signal.SIGKILL)
    # In mid-epoch; another group goes on, until all is killed.
    wait_for_checkpoints(command, run, 11)
    os.killpg(command.pid, signal.SIGKILL)
    command.wait()
    assert not (run / "model").exists()
    reached = max(checkpoints.list_checkpoints(Storage(), run_folder.checkpoints_uri(str(run))))
    subprocess.run(under_ray(table, run, 1, **saving), check=True, timeout=300)
    # What was killed on two cost nothing but time; on one, batch norm sees whole batches.
    kept = range(1, reached + 1)
    assert [curve(run)[step] for step in kept] == pytest.approx(
        [of_two[step] for step in kept], rel=TOLERANCE
    )
    assert (run / "model" / "lineage.json").exists()
    cut_back(run, 14)
    subprocess.run(under_ray(table, run, [1, 3], **saving), check=True, timeout=300)
    # An elastic group: as many as there is room for.
    ended = curve(run)
    assert sorted(ended) == list(range(1, STEPS + 1))
    # Other batch norm statistics, the same clips and captions: near, not equal.
    assert ended[STEPS] == pytest.approx(of_two[STEPS], rel=0.5)


@pytest.mark.usefixtures("own_ray")
def test_ctrl_c_writes_a_checkpoint_in_the_workers(table: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    config = config_of(table, run, launch={"cluster": "ray", "workers": 2}, **ENDLESS)
    command_line = (BIN / "tagscribe-train", "pretrain", write(config, tmp_path), "--quiet")
    with started(*command_line) as command:
        wait_for_step(command, run, 3)
        os.killpg(command.pid, signal.SIGINT)
        _, errors = command.communicate(timeout=120)
    assert command.returncode == 128 + signal.SIGINT
    [reached] = steps_saved(run)
    assert reached >= 3 and f"stopped at step {reached:,} of" in errors


@pytest.mark.usefixtures("own_ray")
def test_a_gradient_that_is_not_finite_restarts_no_worker(table: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    schedule = {"learning_rate": 1e30, "max_gradient_norm": 1e30, "warmup_fraction": 0.0}
    config = config_of(
        table, run, launch={"cluster": "ray", "workers": 1, "max_failures": -1}, schedule=schedule
    )
    command = [BIN / "tagscribe-train", "pretrain", write(config, tmp_path), "--quiet"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 1
    assert "lower schedule.learning_rate" in ended.stderr and "Traceback" not in ended.stderr
