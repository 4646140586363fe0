"""What runs tasks on workers: the interface of local processes and of a Ray cluster."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from curation.annotate.metrics import Meter
from curation.annotate.task import Task, TaskResult, WorkerDeath
from curation.errors import RunError

_CANNOT_START = "workers cannot start: "


class WorkerStartError(RunError):
    """A worker process ended before it was ready for tasks; no clip is to blame."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"{_CANNOT_START}{reason.rpartition(_CANNOT_START)[2]}")


class IsolatedWorkers(Protocol):
    """Workers with one task at a time each, so that no task dies of another."""

    @property
    def count(self) -> int:
        """How many workers there are: so many threads may call `attempt` at once."""
        ...

    @property
    def trial_groups(self) -> int:
        """Into how many groups suspected clips are split; few where a trial starts slowly."""
        ...

    def attempt(self, task: Task, avoided_node: str = "") -> TaskResult | WorkerDeath:
        """Run a task on the next free worker; a worker that dies is replaced.

        Where another node has a worker, none on `avoided_node` is used.

        Raises WorkerStartError where no worker starts.
        """
        ...


class Executor(Protocol):
    """Runs tasks on the workers of a run."""

    @property
    def meter(self) -> Meter:
        """Takes the driver's own metrics."""
        ...

    def run_tasks(self, tasks: Sequence[Task]) -> Iterator[TaskResult | WorkerDeath]:
        """Run tasks on all workers; yields how each ended, as they end.

        A task that was lost with its node is not among them. Called once, before
        `isolate_workers`.

        Raises:
            InputError: the machine or the cluster is too small for the pools.
            WorkerStartError: no worker starts.
        """
        ...

    def isolate_workers(self, count: int) -> AbstractContextManager[IsolatedWorkers]:
        """At most `count` workers, for tasks on which workers died or that were lost.

        The other workers end, so that these have the memory of the machine.
        """
        ...
