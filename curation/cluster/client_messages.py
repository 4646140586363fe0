"""The messages between a driver and its client process, which runs a `RayExecutor`.

Both directions use one pipe.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from curation.annotate.task import Task, TaskResult, WorkerDeath
from curation.config.run import RunConfig


@dataclass(frozen=True)
class StartClient:
    """The driver's first message to the client process: the arguments of `RayExecutor`."""

    config: RunConfig
    fused_worker: type


@dataclass(frozen=True)
class RunTasks:
    """A request of the driver to call `run_tasks`.

    The client process sends each outcome as an answer, and None after the last one.
    """

    number: int
    tasks: Sequence[Task]


@dataclass(frozen=True)
class Isolate:
    """A request of the driver to enter `isolate_workers`. The answer is `IsolationBegun`."""

    number: int
    count: int


@dataclass(frozen=True)
class IsolationBegun:
    """The properties of the isolated workers that the client process has started."""

    count: int
    trial_groups: int


@dataclass(frozen=True)
class EndIsolation:
    """A request of the driver to leave `isolate_workers`. The answer is None."""

    number: int


@dataclass(frozen=True)
class Attempt:
    """A request of the driver to call `attempt` of the isolated workers.

    The answer is the outcome of the task.
    """

    number: int
    task: Task
    avoided_node: str


@dataclass(frozen=True)
class RecordMetric:
    """A message of the driver to record a value with the executor's meter. It has no answer."""

    name: str
    value: float
    labels: dict[str, str]


@dataclass(frozen=True)
class Notice:
    """A message of the client process: text for the user, which the driver prints on stderr."""

    text: str


Request = RunTasks | Isolate | EndIsolation | Attempt
Value = TaskResult | WorkerDeath | IsolationBegun | None


@dataclass(frozen=True)
class Answer:
    """A message of the client process: the result of the request with this number."""

    number: int
    value: Value


@dataclass(frozen=True)
class Failed:
    """A message of the client process: the exception raised by the request with this number."""

    number: int
    error: Exception
