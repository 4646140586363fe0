"""Runs clips through one worker of each pool of a run, and measures the time.

Each worker has the hardware that the YAML gives to it. On a cluster, it is a task on a node of the
pool's type. Otherwise it is a process on this machine with the GPUs of one worker.
"""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

import numpy as np

from curation.annotate import metrics
from curation.annotate.clip import AnnotatedClip, PlannedClip
from curation.annotate.pools import Pool, build_pools_by_stage
from curation.annotate.workers import CaptionWorker, DecodeWorker, FusedWorker, ScoreWorker
from curation.config.run import RunConfig
from curation.errors import InputError, RunError
from curation.processes import machine
from curation.processes.worker_function import (
    ProcessDiedError,
    call_as_worker,
    call_in_process,
)

# The first clips through a model pay for what is set up once; they go through it twice.
WARM_UP_CLIPS = 8
_STAGES = ("read", "decode", "tag", "caption", "score")
_WORKERS: dict[str, type] = {
    "fused": FusedWorker,
    "decode": DecodeWorker,
    "caption": CaptionWorker,
    "score": ScoreWorker,
}

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class PoolMeasurement:
    """The measurement of one worker of a pool on a sample.

    Attributes:
        clips: the clips that the worker returned; those of the last pool only.
        seconds: the time that the worker needed for the clips.
        stage_s: seconds by the name of the stage, with one value per clip for decoding and one
            value per batch for models.
        setup_s: seconds to load the models of the worker.
        hardware: the name of the worker's GPU, or "a CPU".
    """

    clips: list[AnnotatedClip]
    seconds: float
    stage_s: dict[str, np.ndarray]
    setup_s: float
    hardware: str


@dataclass(frozen=True, eq=False)
class PoolMeasurements:
    """The measurements of all pools in stage order, and the CPUs and GPUs of machine or cluster."""

    pools: dict[str, PoolMeasurement]
    cpus: int
    gpus: float

    @property
    def clips(self) -> list[AnnotatedClip]:
        """The clips as the last pool returned them."""
        return list(self.pools.values())[-1].clips

    def stage_s(self, stage: str) -> np.ndarray:
        """Return the seconds of a stage, measured in the pool that runs the stage."""
        return np.concatenate([pool.stage_s[stage] for pool in self.pools.values()])

    @property
    def hardware(self) -> str:
        """The names of the workers' hardware, for people."""
        names = {pool: measured.hardware for pool, measured in self.pools.items()}
        if len(set(names.values())) == 1:
            return next(iter(names.values()))
        return ", ".join(f"{name} ({pool})" for pool, name in names.items())


class _Hardware(Protocol):
    """Where functions are called with the resources of a pool's worker."""

    cpus: int
    gpus: float

    def call(self, pool: Pool, function: Callable[..., T], *arguments: object) -> T: ...


def measure_pools(config: RunConfig, planned: Sequence[PlannedClip]) -> PoolMeasurements:
    """Run planned clips through one worker of each pool, and measure each worker.

    Raises:
        InputError: the machine or the cluster does not have the hardware of a worker.
        RunError: the sample could not be annotated, or the cluster was lost.
    """
    if config.cluster in ("local", "ray"):
        return _measure_on(_ThisMachine(config), config, planned)
    ray = sys.modules.get("ray")
    if ray and ray.is_initialized():
        # A Ray that this process uses already is used as it is.
        return measure_on_cluster(config, planned)
    from curation.cluster.supervised_executor import describe_client_end

    try:
        # Ray's client ends its process without a message if the head of the cluster dies.
        return call_in_process(measure_on_cluster, config, planned)
    except ProcessDiedError as died:
        how = describe_client_end(config.cluster, died.code)
        raise RunError(f"{how}. The plan is written; the same command measures again") from died


def measure_on_cluster(config: RunConfig, planned: Sequence[PlannedClip]) -> PoolMeasurements:
    """As `measure_pools`, on a cluster that this process joins."""
    from curation.cluster.remote import connect_pools  # imports Ray

    with connect_pools(config) as pools:
        return _measure_on(pools, config, planned)


def _measure_on(
    hardware: _Hardware, config: RunConfig, planned: Sequence[PlannedClip]
) -> PoolMeasurements:
    measured: dict[str, PoolMeasurement] = {}
    clips: Sequence[PlannedClip] | Sequence[AnnotatedClip] = planned
    for stage, pool in build_pools_by_stage(config.annotate).items():
        # Only the last clips are of use, without audio.
        measured = {name: replace(each, clips=[]) for name, each in measured.items()}
        measured[stage] = hardware.call(pool, measure_pool, config, stage, pool.gpus, clips)
        clips = measured[stage].clips
    return PoolMeasurements(measured, hardware.cpus, hardware.gpus)


def measure_pool(config: RunConfig, stage: str, gpus: float, clips: Sequence[Any]) -> Any:
    """Build a worker of a pool in this process, warm it up, and measure it on the clips."""
    try:
        tally = metrics.InMemoryMeter()
        gate = _Gate(tally)
        begun_s = time.perf_counter()
        worker = _WORKERS[stage](config, lambda: gate)
        setup_s = time.perf_counter() - begun_s
        worker.run(clips[:WARM_UP_CLIPS])
        gate.open = True
        begun_s = time.perf_counter()
        done = worker.run(clips)
        seconds = time.perf_counter() - begun_s
    except (InputError, RunError):
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise RunError(f"the sample could not be annotated: {reason}") from error
    return PoolMeasurement(
        clips=[clip.without_audio() for clip in done] if stage in ("fused", "score") else done,
        seconds=seconds,
        stage_s={name: _seconds(tally, name) for name in _STAGES},
        setup_s=setup_s,
        hardware=_name_gpu() if gpus else "a CPU",
    )


class _ThisMachine:
    """Each function in a process of its own."""

    def __init__(self, config: RunConfig) -> None:
        needs_gpus = any(pool.gpus for pool in build_pools_by_stage(config.annotate).values())
        self.cpus = machine.count_cpus()
        self.gpus = float(len(machine.list_gpus())) if needs_gpus else 0.0

    def call(self, pool: Pool, function: Callable[..., T], *arguments: object) -> T:
        return call_as_worker(pool, function, *arguments)


class _Gate(metrics.Meter):
    """A meter that lets nothing through until it is opened."""

    def __init__(self, behind: metrics.Meter) -> None:
        self._behind = behind
        self.open = False

    def record(self, name: str, value: float, **labels: str) -> None:
        if self.open:
            self._behind.record(name, value, **labels)


def _seconds(tally: metrics.InMemoryMeter, stage: str) -> np.ndarray:
    return np.array(tally.values(metrics.STAGE_SECONDS, stage=stage))


def _name_gpu() -> str:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "a CPU"
