"""Starts a pre-training: in this process, as one process of a torchrun, or under Ray Train.

All three call `training.pretrain.pretrain`. Ray is imported by `training.ray_train` alone, and only
where the configuration names a cluster.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist

from curation import console
from curation.console import ProgressCallback
from training.config.pretrain import PretrainConfig


def launch_pretraining(config: PretrainConfig, quiet: bool = False) -> None:
    """Train to the end of the schedule, or go on from the newest checkpoint of the run's folder.

    Raises InputError and RunError as `pretrain` does, and RunError where workers kept failing.
    """
    with console.show_progress(
        "training", "steps", quiet or os.environ.get("RANK", "0") != "0"
    ) as bar:
        if is_torchrun():
            with torchrun_process_group(config.runtime.device):
                _train(config, bar)
        elif config.launch.cluster is None:
            _train(config, bar)
        else:
            # Imported where it is wanted: Ray takes seconds, and memory in every process.
            from training.ray_train import train_under_ray

            train_under_ray(config, bar)


class SubprocessValidationRunner:
    """Evaluates checkpoints one after another, each in a process beside the training."""

    def __init__(self, config: PretrainConfig) -> None:
        self._config = config
        self._running: subprocess.Popen[bytes] | None = None
        self._checkpoint = ""

    def start_validation(self, checkpoint: str) -> None:
        """A checkpoint that comes while another is still evaluated is left out."""
        if not self._config.validation or self.in_progress:
            return
        self._end()
        command = [
            *(sys.executable, "-m", "training.validation"),
            *(self._config.run, checkpoint, self._config.storage.model_dump_json()),
        ]
        # Not the training's process group, nor its devices.
        unset = {"RANK", "WORLD_SIZE", "LOCAL_RANK", "TORCHELASTIC_RUN_ID", "MASTER_ADDR"}
        environment = {k: v for k, v in os.environ.items() if k not in unset}
        self._running = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        self._checkpoint = checkpoint

    @property
    def in_progress(self) -> list[str]:
        running = self._running is not None and self._running.poll() is None
        return [self._checkpoint] if running else []

    def close(self) -> None:
        self._end()

    def _end(self) -> None:
        if self._running and self._running.wait():
            console.stderr.print("an evaluation failed (see above); the training goes on")
        self._running = None


def is_torchrun() -> bool:
    return "TORCHELASTIC_RUN_ID" in os.environ


@contextmanager
def torchrun_process_group(device: str = "auto") -> Iterator[None]:
    """The group of a torchrun's processes, for as long as they need one; else nothing."""
    if not is_torchrun():
        yield
        return
    cuda = torch.cuda.is_available() and device != "cpu"
    dist.init_process_group("nccl" if cuda else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def _train(config: PretrainConfig, update: ProgressCallback) -> None:
    # Imported where it runs: a driver of Ray Train needs no model.
    from training.pretrain import pretrain

    pretrain(config, SubprocessValidationRunner(config), update)
