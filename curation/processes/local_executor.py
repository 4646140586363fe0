"""Runs tasks in worker processes of this machine."""

import queue
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager

from curation.annotate.metrics import Meter
from curation.annotate.task import Task, TaskResult, WorkerDeath
from curation.config.run import RunConfig
from curation.errors import RunError
from curation.processes.machine import size_pool, worker_environment
from curation.processes.messages import Record, StartWorker
from curation.processes.restarting_worker import RestartingWorker


class LocalExecutor:
    """Implements `Executor` with processes. It is a context manager that kills them at its exit."""

    # A worker is loaded when a trial begins, so that small groups cost little.
    trial_groups = 8

    def __init__(self, config: RunConfig, worker: type, meter: Meter) -> None:
        """
        Args:
            config: the run's configuration.
            worker: as in `driver.annotate_run`.
            meter: takes the metrics of workers and driver.
        """
        self.meter = meter
        self._config, self._worker = config, worker
        self._workers: list[RestartingWorker] = []
        self._free: queue.SimpleQueue[RestartingWorker] = queue.SimpleQueue()
        self._closed = False

    @property
    def count(self) -> int:
        return len(self._workers)

    def __enter__(self) -> "LocalExecutor":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run_tasks(self, tasks: Sequence[Task]) -> Iterator[TaskResult | WorkerDeath]:
        """Run tasks as `Executor.run_tasks` does.

        This starts the processes. They are kept for `isolate_workers`.
        """
        pool = size_pool(self._config.annotate, len(tasks))
        start = StartWorker(self._worker, self._config, pool.shards_at_once)
        for index in range(pool.max_actors):
            environment = worker_environment(pool, index)
            self._workers.append(RestartingWorker(start, environment, self._record))
        self._set_free(self._workers * pool.shards_at_once)
        with ThreadPoolExecutor(len(self._workers) * pool.shards_at_once) as threads:
            try:
                for attempt in as_completed([threads.submit(self.attempt, each) for each in tasks]):
                    yield attempt.result()
            except BaseException:
                self.close()
                threads.shutdown(wait=False, cancel_futures=True)
                raise

    @contextmanager
    def isolate_workers(self, count: int) -> Iterator["LocalExecutor"]:
        """Isolate workers as `Executor.isolate_workers` does.

        The processes of `run_tasks` are used; each of them runs one task at a time.
        """
        self._workers, surplus = self._workers[:count], self._workers[count:]
        _end(surplus)
        self._set_free(self._workers)
        try:
            yield self
        except BaseException:
            self.close()
            raise

    def attempt(self, task: Task, avoided_node: str = "") -> TaskResult | WorkerDeath:
        """Run a task as `IsolatedWorkers.attempt` does.

        The workers are used in turn. While a dead worker is replaced, the other workers are used.
        """
        if self._closed:
            raise RunError("the workers were stopped")
        worker = self._free.get()
        try:
            return worker.run(task)
        finally:
            self._free.put(worker)

    def close(self) -> None:
        """Kill the processes, and start no new ones; running tasks end as deaths."""
        self._closed = True
        _end(self._workers)

    def _set_free(self, workers: Sequence[RestartingWorker]) -> None:
        self._free = queue.SimpleQueue()
        for worker in workers:
            self._free.put(worker)

    def _record(self, records: Sequence[Record]) -> None:
        for name, value, labels in records:
            self.meter.record(name, value, **labels)


def _end(workers: Sequence[RestartingWorker]) -> None:
    for worker in workers:
        worker.kill()
    for worker in workers:
        worker.join()
