"""Runs shards, and runs those again whose workers died, without the clips that crash them.

Deaths by a lost node are covered by another attempt; a clip is blamed only when its worker dies of
it alone.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import ray

from curation import console
from curation.annotate.task import Task, find_crashing_clips
from curation.cluster import graph, placement, pools
from curation.cluster.graph import DeathLimits, TaskResult
from curation.cluster.metrics_export import RayMeter
from curation.config.run import RunConfig
from curation.errors import RunError

# A worker that dies is started again, and its task tried again, this often.
LIMITS = DeathLimits(restarts=3, retries=2)

RaySessionFactory = Callable[[], AbstractContextManager[None]]


def run_and_recover(
    config: RunConfig,
    shards: Sequence[Task],
    fused_worker: type,
    connect_ray: RaySessionFactory,
) -> list[str]:
    """Annotate shards, without the clips that crash their workers; the errors of those that raised.

    Args:
        config: the run's configuration.
        shards: the tasks, one a shard.
        fused_worker: as in `driver.annotate_run`.
        connect_ray: connects to Ray; entered a second time where workers died.

    Raises RunError where workers cannot start.
    """
    with connect_ray():
        try:
            results = list(graph.run_tasks(config, shards, LIMITS, fused_worker))
        except ray.exceptions.RayActorError as error:
            # Ray's report ends in the cause: the last line of a traceback, or how the actor died.
            reason = str(error).strip().splitlines()[-1]
            raise RunError(f"workers cannot start: {reason}") from error
    completed = {result.task for result in results}
    died = [task for task in shards if task not in completed]
    if died:
        # A new connection: actors of the graph that were restarting when it ended would live on
        # otherwise, and hold their CPUs and GPUs.
        with connect_ray():
            results += _run_without_crashing_clips(_isolate(config, fused_worker, died), died)
    return [result.error for result in results if result.error]


def _isolate(
    config: RunConfig, fused_worker: type, died: Sequence[Task]
) -> "IsolatedWorkers | IsolatedGraph":
    if graph.uses_vllm(config):
        return IsolatedGraph(config)
    return IsolatedWorkers(config, fused_worker, len(died))


def _run_without_crashing_clips(
    isolated: "IsolatedWorkers | IsolatedGraph", died: Sequence[Task]
) -> list[TaskResult]:
    """Run shards on which workers died, without the clips that crash them."""
    # Lost nodes are the likelier cause: once more as they are, before the search.
    died = sorted(set(died) - isolated.try_tasks(died), key=lambda task: task.shard)
    if died:
        console.stderr.print(
            f"workers died again and again on {len(died)} shards; looking for the clips that do it"
        )
        found = find_crashing_clips(died, isolated.try_tasks)
        isolated.try_tasks([replace(task, crashing_clips=found[task.shard]) for task in died])
    return isolated.results


class IsolatedGraph:
    """Runs the graph for one task at a time: each starts vLLM anew, so no task dies of another."""

    def __init__(self, config: RunConfig) -> None:
        self.results: list[TaskResult] = []
        self._config = config

    def try_tasks(self, tasks: Sequence[Task]) -> set[Task]:
        """Run tasks; returns those that their workers completed."""
        return {task for task in tasks if self._try_task(task)}

    def _try_task(self, task: Task) -> bool:
        try:
            results = list(graph.run_tasks(self._config, [task], LIMITS))
        except ray.exceptions.RayActorError:
            return False
        self.results += results
        return bool(results)


class IsolatedWorkers:
    """Workers outside the graph, each with one task at a time, and restarted when they died.

    In the graph, tasks that wait for an actor that dies are lost with it.
    """

    def __init__(self, config: RunConfig, fused_worker: type, task_count: int) -> None:
        self.results: list[TaskResult] = []
        self._config = config
        self._fused_worker = fused_worker
        sized = placement.place_pools(config.annotate, task_count)
        # Where each model has a pool of its own, an actor with both takes what a captioner does.
        self._pool = sized[0 if config.annotate.placement == "fused" else 1]

    def try_tasks(self, tasks: Sequence[Task]) -> set[Task]:
        """Run tasks; returns those that their workers completed."""
        workers = min(len(tasks), self._pool.max_actors)
        remaining = iter(list(tasks))  # hands each task to one thread
        with ThreadPoolExecutor(workers) as threads:
            parts = [threads.submit(self._run_worker, remaining) for _ in range(workers)]
            return set().union(*(part.result() for part in parts))

    def _run_worker(self, tasks: Iterator[Task]) -> set[Task]:
        worker = _RestartableWorker(self._config, self._fused_worker, self._pool)
        try:
            return {task for task in tasks if self._try_task(task, worker)}
        finally:
            worker.close()

    def _try_task(self, task: Task, worker: "_RestartableWorker") -> bool:
        # A half that dies by chance, with its node, costs two halves more, and no verdict.
        tries = 1 if task.dry_run and task.clip_count > 1 else 1 + LIMITS.retries
        for _ in range(tries):
            row = worker.attempt(task)
            if row:
                self.results.append(TaskResult.from_row(row))
                return True
        return False


class _RestartableWorker:
    """An actor that holds a worker, started again after each death."""

    def __init__(self, config: RunConfig, fused_worker: type, pool: pools.Pool) -> None:
        self._arguments = (fused_worker, config)
        self._actor: Any = None
        self._remote = ray.remote(_WorkerActor).options(**pool.ray_options)

    def attempt(self, task: Task) -> dict[str, Any] | None:
        """The task's row; None where it killed the process."""
        self._actor = self._actor or self._remote.remote(*self._arguments)
        try:
            row: dict[str, Any] = ray.get(self._actor.attempt.remote(task.to_json()))
        except ray.exceptions.RayActorError:
            self.close()
            return None
        return row

    def close(self) -> None:
        if self._actor is not None:
            ray.kill(self._actor)
            self._actor = None


class _WorkerActor:
    """A worker as an actor of its own."""

    def __init__(self, worker: type, config: RunConfig) -> None:
        self._worker = worker(config, RayMeter)

    def attempt(self, task: str) -> dict[str, Any]:
        row: dict[str, Any] = self._worker({"task": task})
        return row
