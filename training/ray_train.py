"""Runs a pre-training under Ray Train: on its workers, with evaluations as Ray tasks.

This is the only module in `training` that imports Ray.
"""

import asyncio
import json
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import ray
from ray.train import (
    FailureConfig,
    Result,
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
from curation.storage.append import read_newest_line
from curation.storage.files import Storage
from curation.uris import is_local_uri, join_uri
from training import run_folder
from training.config.pretrain import PretrainConfig
from training.interrupts import StopRequest, TrainingStopped
from training.preflight import check_trainable
from training.validation_runner import ValidationRunner

if TYPE_CHECKING:
    from ray.actor import ActorHandle

_POLL_INTERVAL_S = 2.0
_STOP_INTERVAL_S = 0.5


def train_under_ray(config: PretrainConfig, bar: ProgressCallback, stop: StopRequest) -> None:
    """Train on the workers of `launch`. If a worker dies, the group is restarted.

    Args:
        stop: polled twice a second. On a request the workers write a checkpoint and stop.

    Raises InputError and TrainingStopped as `pretrain` does. Raises RunError if workers keep
    failing, or if a restart of the workers would not help.
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
        stop_flag = ray.remote(num_cpus=0)(_StopFlag).remote()
        trainer = TorchTrainer(
            _ray_worker,
            train_loop_config={"config": config.model_dump(mode="json"), "stop_flag": stop_flag},
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
            if line := read_newest_line(storage, run_folder.metrics_uri(config.run)):
                last = json.loads(line)
                bar(last["step"], int(last["steps_planned"]))

        with console.poll_in_background(poll_metrics, _POLL_INTERVAL_S):
            try:
                ended = _run_in_thread(trainer.fit, stop, stop_flag)
            except WorkerGroupError as error:
                failed = next(iter(error.worker_failures.values()))
                raise RunError(
                    f"workers failed more often than launch.max_failures allows; the last: "
                    f"{failed}; run the same command again to go on from the newest checkpoint"
                ) from error
            except TrainingFailedError as error:
                raise RunError(f"Ray Train could not run the training: {error}") from error
    outcome = _WorkerOutcome(**ended.return_value)
    if outcome.stopped_by:
        raise TrainingStopped(outcome.message, outcome.stopped_by)
    if outcome.message:
        raise RunError(outcome.message)


def _run_in_thread(
    fit: Callable[[], Result], stop: StopRequest, stop_flag: "ActorHandle[_StopFlag]"
) -> Result:
    """Train, and pass a signal that this process gets on to the workers.

    In a thread, because in the main thread Ray Train handles Ctrl-C itself: it ends the workers
    where they stand.
    """
    ended: Future[Result] = Future()

    def run() -> None:
        try:
            ended.set_result(fit())
        except BaseException as error:
            ended.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    with stop.deferred():
        sent = False
        while not wait([ended], timeout=_STOP_INTERVAL_S).done:
            if not sent and (number := stop.poll()):
                ray.get(stop_flag.set.remote(number))
                sent = True
        return ended.result()


@dataclass(frozen=True)
class _WorkerOutcome:
    """How the training ended in the workers, where restarting them would not change it."""

    message: str = ""
    stopped_by: int = 0


class _StopFlag:
    """An actor through which the driver asks the workers to stop."""

    def __init__(self) -> None:
        self._is_set = asyncio.Event()
        self._signal = 0

    async def set(self, number: int) -> None:
        self._signal = number
        self._is_set.set()

    async def wait(self) -> int:
        """Wait for a signal, and return its number."""
        await self._is_set.wait()
        return self._signal


class _RayStopRequest(StopRequest):
    """Set by the driver through its `_StopFlag`."""

    def __init__(self, stop_flag: "ActorHandle[_StopFlag]") -> None:
        self._pending = stop_flag.wait.remote()

    def poll(self) -> int:
        ready, _ = ray.wait([self._pending], timeout=0)
        return int(ray.get(self._pending)) if ready else 0


def _ray_worker(settings: dict[str, Any]) -> dict[str, Any]:
    config = PretrainConfig.model_validate(settings["config"])
    # Imported where it runs: the driver only waits for the workers, and needs no model.
    from training.pretrain import pretrain
    from training.training_step import NonFiniteError

    outcome = _WorkerOutcome()
    try:
        with _RayValidationRunner(config) as validation:
            stop = _RayStopRequest(settings["stop_flag"])
            pretrain(config, validation, lambda done, total: None, stop)
    # All workers end so. As errors they would have Ray restart them.
    except TrainingStopped as stopped:
        outcome = _WorkerOutcome(str(stopped), stopped.signal_number)
    except NonFiniteError as error:
        outcome = _WorkerOutcome(str(error))
    return asdict(outcome)


class _RayValidationRunner(ValidationRunner):
    """Evaluates in a task of the cluster."""

    _task: Any

    def _begin(self, checkpoint: str) -> None:
        self._task = ray.remote(num_cpus=1)(_validate).remote(self._config, checkpoint)

    def _has_ended(self) -> bool:
        return bool(ray.wait([self._task], timeout=0)[0])

    def _wait(self) -> None:
        try:
            ray.get(self._task)
        except ray.exceptions.RayError as error:
            console.stderr.print(f"an evaluation failed: {error}")

    def _cancel(self) -> None:
        ray.cancel(self._task, force=True)


def _validate(config: PretrainConfig, checkpoint: str) -> None:
    # Imported where it runs: the training itself needs none of it.
    from training.validation import validate_checkpoint

    validate_checkpoint(Storage(config.storage), config.run, checkpoint, config.validation)
