"""The interface of executors, which run tasks on workers: local processes or Ray actors."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from curation.annotate.metrics import Meter
from curation.annotate.task import Task, TaskResult, WorkerDeath
from curation.errors import RunError

_CANNOT_START = "workers cannot start: "


class WorkerStartError(RunError):
    """A worker process ended before it could take a task, so no clip is the cause."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"{_CANNOT_START}{reason.rpartition(_CANNOT_START)[2]}")


class IsolatedWorkers(Protocol):
    """Workers that run one task at a time, so the death of a worker affects one task only."""

    @property
    def count(self) -> int:
        """Number of workers. As many threads may call `attempt` at the same time."""
        ...

    @property
    def trial_groups(self) -> int:
        """Number of groups into which a shard is split to find the clip that crashes a worker.

        The number is small if each trial has to load the models.
        """
        ...

    def attempt(self, task: Task, avoided_node: str = "") -> TaskResult | WorkerDeath:
        """Run a task on the next free worker. A worker that dies is replaced.

        If workers of another node are available, a worker on `avoided_node` is not used.

        Raises WorkerStartError if no worker starts.
        """
        ...


class Executor(Protocol):
    """Runs the tasks of a run on workers."""

    @property
    def meter(self) -> Meter:
        """The meter that records the driver's own metrics."""
        ...

    def run_tasks(self, tasks: Sequence[Task]) -> Iterator[TaskResult | WorkerDeath]:
        """Run tasks on all workers, and yield the outcome of each task when it ends.

        A task that was lost with its node has no outcome. This method is called once, before
        `isolate_workers`.

        Raises:
            InputError: the machine or the cluster is too small for the pools.
            WorkerStartError: no worker starts.
        """
        ...

    def isolate_workers(self, count: int) -> AbstractContextManager[IsolatedWorkers]:
        """Start at most `count` workers for tasks that were lost or whose workers died.

        All other workers are stopped first, so that the new workers have the memory of the machine.
        """
        ...
