"""The messages between the driver and a worker process: each is pickled and sent over a pipe."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from curation.config.run import RunConfig

# A metric that was recorded: name, value and labels.
Record = tuple[str, float, dict[str, str]]


@dataclass(frozen=True)
class StartWorker:
    """First message to the process: the worker to build.

    Attributes:
        worker: class of the worker, built with the configuration and a factory of meters.
        config: the run's configuration.
        tasks_at_once: maximum number of tasks that the worker runs at the same time.
    """

    worker: type
    config: RunConfig
    tasks_at_once: int


@dataclass(frozen=True)
class RunTask:
    """Message to the process: a task as JSON, and a number that identifies the request."""

    number: int
    task: str


@dataclass(frozen=True)
class WorkerReady:
    """Message from the process: the worker is built."""


@dataclass(frozen=True)
class WorkerFailed:
    """Message from the process: why the worker could not be built. Then the process ends."""

    reason: str


@dataclass(frozen=True)
class TaskEnded:
    """Message from the process: the row that the worker returned for a request."""

    number: int
    row: dict[str, Any]


@dataclass(frozen=True)
class MetricsRecorded:
    """Message from the process: metrics since the last such message. It is also a sign of life."""

    records: Sequence[Record]
