"""The interface of executors, which run tasks on workers: local processes or a Ray cluster."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from curation.annotate.metrics import Meter
from curation.annotate.task import Task, TaskResult, WorkerDeath
from curation.errors import RunError

_CANNOT_START = "workers cannot start: "


class WorkerStartError(RunError):
    """A worker process ended before it was ready for tasks. No clip is to blame."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"{_CANNOT_START}{reason.rpartition(_CANNOT_START)[2]}")


class IsolatedWorkers(Protocol):
    """Workers with one task at a time each, so that the death of a worker affects one task only."""

    @property
    def count(self) -> int:
        """Number of workers; this many threads may call `attempt` at once."""
        ...

    @property
    def trial_groups(self) -> int:
        """Number of groups into which suspected clips are split; small if trials start slowly."""
        ...

    def attempt(self, task: Task, avoided_node: str = "") -> TaskResult | WorkerDeath:
        """Run a task on the next free worker; a worker that dies is replaced.

        Avoids workers on `avoided_node` if another node has one.

        Raises WorkerStartError if no worker starts.
        """
        ...


class Executor(Protocol):
    """Runs tasks on the workers of a run."""

    @property
    def meter(self) -> Meter:
        """Records the driver's own metrics."""
        ...

    def run_tasks(self, tasks: Sequence[Task]) -> Iterator[TaskResult | WorkerDeath]:
        """Run tasks on all workers; yields their outcomes in the order in which they end.

        Tasks that were lost with their node have no outcome. Called once, before `isolate_workers`.

        Raises:
            InputError: the machine or the cluster is too small for the pools.
            WorkerStartError: no worker starts.
        """
        ...

    def isolate_workers(self, count: int) -> AbstractContextManager[IsolatedWorkers]:
        """Start at most `count` workers, for tasks that were lost or on which workers died.

        All other workers are stopped first, so that these have the memory of the machine.
        """
        ...
