"""A pre-training under Ray Train: its workers, and its evaluations as tasks of the cluster.

This module alone in `training` imports Ray.
"""

import json
import uuid
from typing import Any

import ray
from ray.train import (
    FailureConfig,
    RunConfig,
    ScalingConfig,
    TrainingFailedError,
    WorkerGroupError,
)
from ray.train.torch import TorchConfig, TorchTrainer

from curation import console
from curation.cluster.session import ray_session
from curation.console import ProgressCallback
from curation.errors import RunError
from curation.storage.files import Storage
from curation.uris import is_local_uri, join_uri
from training import run_folder
from training.config.pretrain import PretrainConfig
from training.preflight import check_trainable

_POLL_INTERVAL_S = 2.0


def train_under_ray(config: PretrainConfig, bar: ProgressCallback) -> None:
    """Train on the workers of `launch`, restarted where one dies.

    Raises InputError as `pretrain` does, and RunError where workers kept failing.
    """
    settings = config.launch
    assert settings.cluster is not None
    storage = Storage(config.storage)
    local = is_local_uri(config.run)
    workers = settings.workers
    most = workers if isinstance(workers, int) else workers[1]
    # Mistakes of the user end here; workers would restart on them.
    check_trainable(config, most)
    with ray_session(settings.cluster, cpus=most * settings.cpus_per_worker + 1):
        trainer = TorchTrainer(
            _ray_worker,
            train_loop_config={"config": config.model_dump(mode="json")},
            torch_config=TorchConfig(backend="nccl" if settings.gpus_per_worker else "gloo"),
            scaling_config=ScalingConfig(
                num_workers=workers,
                use_gpu=settings.gpus_per_worker > 0,
                resources_per_worker={
                    "CPU": settings.cpus_per_worker,
                    **({"GPU": settings.gpus_per_worker} if settings.gpus_per_worker else {}),
                },
            ),
            run_config=RunConfig(
                # Ray takes a name that it has seen for a training that has ended.
                name=f"pretrain-{uuid.uuid4().hex[:8]}",
                # What Ray notes of a group; a bucket gets none of it, it stays in Ray's own place.
                storage_path=join_uri(config.run, "ray") if local else None,
                failure_config=FailureConfig(max_failures=settings.max_failures),
            ),
        )

        def poll_metrics() -> None:
            lines = storage.read_bytes(run_folder.metrics_uri(config.run)).splitlines()
            if lines:
                last = json.loads(lines[-1])
                bar(last["step"], int(last["steps_planned"]))

        with console.poll_in_background(poll_metrics, _POLL_INTERVAL_S):
            try:
                trainer.fit()
            except WorkerGroupError as error:
                failed = next(iter(error.worker_failures.values()))
                raise RunError(
                    f"workers failed more often than launch.max_failures allows; the last: "
                    f"{failed}; run the same command again to go on from the newest checkpoint"
                ) from error
            except TrainingFailedError as error:
                raise RunError(f"Ray Train could not run the training: {error}") from error


def _ray_worker(settings: dict[str, Any]) -> None:
    config = PretrainConfig.model_validate(settings["config"])
    # Imported where it runs: the driver only waits for the workers, and needs no model.
    from training.pretrain import pretrain

    pretrain(config, RayValidationRunner(config), lambda done, total: None)


class RayValidationRunner:
    """Evaluates checkpoints in tasks of their own, wherever the cluster has room."""

    def __init__(self, config: PretrainConfig) -> None:
        self._config = config
        self._running: dict[str, Any] = {}

    def start_validation(self, checkpoint: str) -> None:
        if self._config.validation:
            task = ray.remote(num_cpus=1)(_validate)
            self._running[checkpoint] = task.remote(self._config, checkpoint)

    @property
    def in_progress(self) -> list[str]:
        tasks = {task: checkpoint for checkpoint, task in self._running.items()}
        _, waiting = ray.wait(list(tasks), num_returns=len(tasks), timeout=0) if tasks else ([], [])
        return [tasks[task] for task in waiting]

    def close(self) -> None:
        for task in self._running.values():
            try:
                ray.get(task)
            except ray.exceptions.RayError as error:
                console.stderr.print(f"an evaluation failed: {error}")
        self._running = {}


def _validate(config: PretrainConfig, checkpoint: str) -> None:
    # Imported where it runs: the training itself needs none of it.
    from training.validation import validate_checkpoint

    validate_checkpoint(Storage(config.storage), config.run, checkpoint)
