"""The messages between a driver and the process of its Ray client, over one pipe."""

from collections.abc import Sequence
from dataclasses import dataclass

from curation.annotate.task import Task, TaskResult, WorkerDeath
from curation.config.run import RunConfig


@dataclass(frozen=True)
class StartClient:
    """To the client, first: the arguments of `RayExecutor`."""

    config: RunConfig
    fused_worker: type


@dataclass(frozen=True)
class RunTasks:
    """To the client: `run_tasks`. It answers with outcomes, and at the end with None."""

    number: int
    tasks: Sequence[Task]


@dataclass(frozen=True)
class Isolate:
    """To the client: enter `isolate_workers`. It answers with `IsolationBegun`."""

    number: int
    count: int


@dataclass(frozen=True)
class IsolationBegun:
    """The properties of isolated workers."""

    count: int
    trial_groups: int


@dataclass(frozen=True)
class EndIsolation:
    """To the client: leave `isolate_workers`. It answers with None."""

    number: int


@dataclass(frozen=True)
class Attempt:
    """To the client: `attempt` of the isolated workers. It answers with the outcome."""

    number: int
    task: Task
    avoided_node: str


@dataclass(frozen=True)
class RecordMetric:
    """To the client: `record` of its meter. It does not answer."""

    name: str
    value: float
    labels: dict[str, str]


@dataclass(frozen=True)
class Notice:
    """From the client: text for the user, which the driver prints on stderr."""

    text: str


Request = RunTasks | Isolate | EndIsolation | Attempt
Value = TaskResult | WorkerDeath | IsolationBegun | None


@dataclass(frozen=True)
class Answer:
    """From the client: the result of the request with this number."""

    number: int
    value: Value


@dataclass(frozen=True)
class Failed:
    """From the client: the exception of the request with this number."""

    number: int
    error: Exception
