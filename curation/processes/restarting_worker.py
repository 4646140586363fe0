"""A worker in a separate process, which is restarted whenever it dies."""

import threading
from collections.abc import Callable, Mapping, Sequence

from curation.annotate.task import Task, TaskResult, WorkerDeath
from curation.processes.messages import Record, StartWorker
from curation.processes.worker_process import WorkerProcess


class RestartingWorker:
    """Runs tasks in a process. If the process dies, its tasks end as deaths and another starts."""

    def __init__(
        self,
        start: StartWorker,
        environment: Mapping[str, str],
        on_metrics: Callable[[Sequence[Record]], None],
    ) -> None:
        """Start the process.

        Args:
            start: the worker to build.
            environment: variables of the process in addition to those of this process.
            on_metrics: called from another thread with the metrics that the worker records.
        """
        self._arguments = start, environment, on_metrics
        self._lock = threading.Lock()
        # A task that waits here is not lost when the process dies of another one.
        self._places = threading.BoundedSemaphore(start.tasks_at_once)
        self._closed = False
        self._process = WorkerProcess(*self._arguments)

    def wait_until_ready(self) -> None:
        """Wait until the worker is built. Raises WorkerStartError if it cannot be built."""
        self._process.wait_until_ready()

    def run(self, task: Task) -> TaskResult | WorkerDeath:
        """Run a task, after waiting until fewer than `tasks_at_once` other tasks run.

        Raises WorkerStartError if the worker cannot be built.
        """
        with self._places:
            process = self._process
            outcome = process.run(task)
            if isinstance(outcome, WorkerDeath):
                self._replace(process)
        return outcome

    def kill(self) -> None:
        """End the process, and start no new one; running tasks end as deaths."""
        with self._lock:
            self._closed = True
        self._process.kill()

    def join(self) -> None:
        """Wait until the process has ended and each of its tasks has an outcome."""
        self._process.join()

    def _replace(self, dead: WorkerProcess) -> None:
        with self._lock:
            if self._process is dead and not self._closed:
                self._process = WorkerProcess(*self._arguments)
