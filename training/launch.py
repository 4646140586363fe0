"""Starts a pre-training: in this process, as one process of torchrun, or under Ray Train.

All three ways call `training.pretrain.pretrain`. Only `training.ray_train` imports Ray; it is
imported only if the configuration names a cluster.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist

from curation import console
from curation.console import ProgressCallback
from training.config.pretrain import PretrainConfig
from training.interrupts import SignalStopRequest
from training.validation_runner import SubprocessValidationRunner


def launch_pretraining(config: PretrainConfig, quiet: bool = False) -> None:
    """Train to the end of the schedule, or resume from the newest checkpoint in the run folder.

    Raises InputError, RunError and TrainingStopped as `pretrain` does. Ctrl-C and SIGTERM raise
    TrainingStopped. If workers keep failing, RunError is raised.
    """
    with (
        SignalStopRequest(once=is_torchrun()) as stop,
        console.show_progress(
            "training", "steps", quiet or os.environ.get("RANK", "0") != "0"
        ) as bar,
    ):
        if is_torchrun() or config.launch.cluster is None:
            _train(config, bar, stop)
        else:
            # Imported where it is wanted: Ray takes seconds, and memory in every process.
            from training.ray_train import train_under_ray

            train_under_ray(config, bar, stop)


def is_torchrun() -> bool:
    return "TORCHELASTIC_RUN_ID" in os.environ


@contextmanager
def torchrun_process_group(device: str = "auto") -> Iterator[None]:
    """Set up the process group of torchrun for a block. Without torchrun, do nothing."""
    if not is_torchrun():
        yield
        return
    cuda = torch.cuda.is_available() and device != "cpu"
    dist.init_process_group("nccl" if cuda else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def _train(config: PretrainConfig, update: ProgressCallback, stop: SignalStopRequest) -> None:
    # Imported where it runs: a driver of Ray Train needs no model.
    from training.pretrain import pretrain

    # The group ends first: the last evaluation may take longer than the others would wait.
    with (
        SubprocessValidationRunner(config) as validation,
        torchrun_process_group(config.runtime.device),
    ):
        pretrain(config, validation, update, stop)
