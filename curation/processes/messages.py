"""The messages between the driver and a worker process, each pickled, over one pipe."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from curation.config.run import RunConfig

# A metric that was recorded: name, value and labels.
Record = tuple[str, float, dict[str, str]]


@dataclass(frozen=True)
class StartWorker:
    """To the process, first: the worker to build.

    Attributes:
        worker: class, built with the configuration and a factory of meters.
        config: the run's configuration.
        tasks_at_once: number of tasks that the worker gets at once.
    """

    worker: type
    config: RunConfig
    tasks_at_once: int


@dataclass(frozen=True)
class RunTask:
    """To the process: a task as JSON, and the number of the request."""

    number: int
    task: str


@dataclass(frozen=True)
class WorkerReady:
    """From the process: the worker is built."""


@dataclass(frozen=True)
class WorkerFailed:
    """From the process: why the worker could not be built; the process then ends."""

    reason: str


@dataclass(frozen=True)
class TaskEnded:
    """From the process: the row that the worker returned for a request."""

    number: int
    row: dict[str, Any]


@dataclass(frozen=True)
class MetricsRecorded:
    """From the process: metrics since the last such message; also a sign of life."""

    records: Sequence[Record]
