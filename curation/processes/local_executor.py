"""Runs tasks in worker processes of this machine."""

import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager

from curation.annotate.metrics import Meter
from curation.annotate.pools import Pool
from curation.annotate.task import Task, TaskResult, WorkerDeath
from curation.config.run import RunConfig
from curation.errors import RunError
from curation.processes.machine import size_pool, worker_environment
from curation.processes.messages import Record, StartWorker
from curation.processes.worker_process import WorkerProcess


class LocalExecutor:
    """Fulfils `Executor` with processes; a context manager, at whose end all of them are killed."""

    # A worker is loaded when a trial begins, so that small groups cost little.
    trial_groups = 8

    def __init__(self, config: RunConfig, worker: type, meter: Meter, with_metrics: bool) -> None:
        """
        Args:
            config: the run's configuration.
            worker: as in `driver.annotate_run`.
            meter: takes the metrics of workers and driver.
            with_metrics: whether the workers send theirs.
        """
        self.meter = meter
        self._config, self._worker, self._with_metrics = config, worker, with_metrics
        self._lock = threading.Lock()
        self._slots: list[_Slot] = []
        self._free: queue.SimpleQueue[_Slot] = queue.SimpleQueue()
        self._closed = False

    @property
    def count(self) -> int:
        return len(self._slots)

    def __enter__(self) -> "LocalExecutor":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run_tasks(self, tasks: Sequence[Task]) -> Iterator[TaskResult]:
        """As `Executor.run_tasks`; starts the processes, which remain for `isolate_workers`."""
        pool = size_pool(self._config.annotate, len(tasks))
        self._start(pool)
        for slot in self._slots * pool.shards_at_once:
            self._free.put(slot)
        with ThreadPoolExecutor(len(self._slots) * pool.shards_at_once) as threads:
            try:
                for attempt in as_completed([threads.submit(self.attempt, each) for each in tasks]):
                    outcome = attempt.result()
                    if isinstance(outcome, TaskResult):
                        yield outcome
            except BaseException:
                self.close()
                threads.shutdown(wait=False, cancel_futures=True)
                raise

    @contextmanager
    def isolate_workers(self, task_count: int) -> Iterator["LocalExecutor"]:
        """As `Executor.isolate_workers`: the same processes, each with one task at a time."""
        self._free = queue.SimpleQueue()
        for slot in self._slots:
            self._free.put(slot)
        try:
            yield self
        except BaseException:
            self.close()
            raise

    def attempt(self, task: Task) -> TaskResult | WorkerDeath:
        """As `IsolatedWorkers.attempt`; the replacement of a dead worker starts in the background.

        Workers are used in turn, so that the others are used while it starts.
        """
        if self._closed:
            raise RunError("the workers were stopped")
        slot = self._free.get()
        try:
            return slot.process.run(task)
        finally:
            self._replace_dead(slot)
            self._free.put(slot)

    def close(self) -> None:
        """Kill the processes; tasks that run end as deaths, and no process is started any more."""
        with self._lock:
            self._closed = True
        for slot in self._slots:
            slot.process.kill()
        for slot in self._slots:
            slot.process.join()

    def _start(self, pool: Pool) -> None:
        start = StartWorker(self._worker, self._config, pool.shards_at_once, self._with_metrics)
        for index in range(pool.max_actors):
            self._slots.append(_Slot(start, worker_environment(pool, index), self._record))

    def _replace_dead(self, slot: "_Slot") -> None:
        with self._lock:
            if slot.process.dead and not self._closed:
                slot.start()

    def _record(self, records: Sequence[Record]) -> None:
        for name, value, labels in records:
            self.meter.record(name, value, **labels)


class _Slot:
    """The place of a worker in the pool, and the process that has it now."""

    def __init__(
        self,
        start: StartWorker,
        environment: Mapping[str, str],
        on_metrics: Callable[[Sequence[Record]], None],
    ) -> None:
        self._arguments = start, environment, on_metrics
        self.start()

    def start(self) -> None:
        """Start a process in place of the dead one."""
        self.process = WorkerProcess(*self._arguments)
