"""Runs tasks on Ray: first in a Ray Data graph, and then lost tasks on single actors."""

import queue
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import ray

from curation.annotate import pools
from curation.annotate.executor import IsolatedWorkers, WorkerStartError
from curation.annotate.task import Task, TaskResult, WorkerDeath, parse_outcome
from curation.cluster import graph, placement
from curation.cluster.graph import DeathLimits
from curation.cluster.metrics_export import RayMeter
from curation.cluster.session import ray_session
from curation.cluster.supervised_worker import SupervisedWorker
from curation.config.run import RunConfig

# An actor that is lost with its node is started again, and its task tried again, this often.
LIMITS = DeathLimits(restarts=3, retries=2)
# How often an actor outside the graph is built before its run ends.
_STARTS = 3
_DEATHS = ray.exceptions.RayActorError, ray.exceptions.OutOfMemoryError
# Of these no other attempt is better: the run stops with Ray's reason.
_CANNOT_START = (
    ray.exceptions.RayActorError,
    ray.exceptions.RuntimeEnvSetupError,
    ray.exceptions.ActorUnschedulableError,
)


class RayExecutor:
    """An `Executor` on Ray. Ray is started or joined when the tasks arrive."""

    def __init__(self, config: RunConfig, fused_worker: type) -> None:
        """`fused_worker` as in `driver.annotate_run`."""
        self.meter = _ConnectedMeter()
        self._connection = ExitStack()
        self._config, self._fused_worker = config, fused_worker

    def __enter__(self) -> "RayExecutor":
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def run_tasks(self, tasks: Sequence[Task]) -> Iterator[TaskResult | WorkerDeath]:
        """Run tasks as `Executor.run_tasks` specifies."""
        self._connection.enter_context(self._connect())
        waiting = dict.fromkeys(tasks)
        try:
            for outcome in graph.run_tasks(self._config, tasks, LIMITS, self._fused_worker):
                waiting.pop(outcome.task, None)
                yield outcome
        except _CANNOT_START as error:
            raise WorkerStartError(_last_line(error)) from error
        except ray.exceptions.OutOfMemoryError as error:
            # Of Ray Data's own actors, without which the graph ends.
            for task in waiting:
                yield WorkerDeath(task, _last_line(error), out_of_memory=True)

    @contextmanager
    def isolate_workers(self, count: int) -> Iterator[IsolatedWorkers]:
        """Start isolated workers as `Executor.isolate_workers` specifies."""
        if self._config.cluster != "ray":
            # Actors of the graph that were restarting after the loss of a node when it ended would
            # live on, and hold their CPUs and GPUs; a new connection ends them.
            self._connection.close()
            self._connection.enter_context(self._connect())
        if graph.uses_vllm(self._config):
            yield IsolatedGraph(self._config)
            return
        workers = IsolatedActors(self._config, self._fused_worker, count)
        try:
            yield workers
        finally:
            workers.close()

    @contextmanager
    def _connect(self) -> Iterator[None]:
        annotate = self._config.annotate
        cpus, resources = pools.count_cpus_needed(annotate), pools.list_node_resources(annotate)
        with (
            ray_session(self._config.cluster, cpus, resources, self._config.metrics_port),
            self.meter.connect(),
        ):
            yield


class _ConnectedMeter:
    """Sends the driver's numbers to Ray while it is connected, and drops them else."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._meter: RayMeter | None = None

    def record(self, name: str, value: float, **labels: str) -> None:
        with self._lock:
            if self._meter:
                self._meter.record(name, value, **labels)

    @contextmanager
    def connect(self) -> Iterator[None]:
        """Record through Ray during a `with` block in which this process is connected to Ray."""
        with self._lock:
            self._meter = RayMeter()
        try:
            yield
        finally:
            with self._lock:
                self._meter = None


class IsolatedGraph:
    """Isolated workers for a captioner on vLLM: runs the whole graph for one task at a time.

    Each task starts vLLM again, so that it is isolated from the other tasks.
    """

    count = 1
    # Each trial loads the models again.
    trial_groups = 2

    def __init__(self, config: RunConfig) -> None:
        self._config = config

    def attempt(self, task: Task, avoided_node: str = "") -> TaskResult | WorkerDeath:
        """Run a task as `IsolatedWorkers.attempt` specifies, except that Ray chooses the nodes."""
        try:
            results = list(graph.run_tasks(self._config, [task], LIMITS))
        except _DEATHS as error:
            return WorkerDeath(task, _last_line(error))
        return results[0] if results else WorkerDeath(task, "an actor of the graph died")


class IsolatedActors:
    """Actors outside the Ray Data graph, each with one task at a time. A lost actor is replaced.

    They are outside because, in the graph, the tasks that wait for a lost actor are lost too.
    """

    # A worker is loaded when a trial begins, so that small groups cost little.
    trial_groups = 8

    def __init__(self, config: RunConfig, fused_worker: type, count: int) -> None:
        sized = placement.place_pools(config.annotate, count)
        # Where each model has a pool of its own, an actor with both takes what a captioner does.
        pool = sized[0 if config.annotate.placement == "fused" else 1]
        self.count = min(count, pool.max_actors)
        self._build = ray.remote(_WorkerActor).options(**pool.ray_options).remote
        self._arguments = fused_worker, config
        self._free: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for _ in range(self.count):
            self._free.put(self._build(*self._arguments))

    def attempt(self, task: Task, avoided_node: str = "") -> TaskResult | WorkerDeath:
        """Run a task as `IsolatedWorkers.attempt` specifies. A lost actor is replaced at once."""
        actor, node = self._take(avoided_node)
        try:
            outcome = parse_outcome(ray.get(actor.run.remote(task.to_json())))
            return replace(outcome, node=node) if isinstance(outcome, WorkerDeath) else outcome
        except _DEATHS as error:
            actor = self._replace(actor)
            return WorkerDeath(task, _last_line(error), node=node)
        finally:
            self._free.put(actor)

    def close(self) -> None:
        """Kill the actors that no thread uses."""
        while not self._free.empty():
            ray.kill(self._free.get())

    def _take(self, avoided_node: str) -> tuple[Any, str]:
        """A free actor that is built, and its node; one of another node, if one is free."""
        for _ in range(self.count):
            actor, node = self._make_ready(self._free.get())
            if node != avoided_node:
                return actor, node
            self._free.put(actor)
        return self._make_ready(self._free.get())

    def _make_ready(self, actor: Any) -> tuple[Any, str]:
        """This actor when it is built, or one in its place, as nodes may be lost; and its node."""
        for start in range(1, _STARTS + 1):
            try:
                return actor, str(ray.get(actor.find_node.remote()))
            except (*_DEATHS, *_CANNOT_START) as error:
                if start == _STARTS or not isinstance(error, _DEATHS):
                    self._free.put(actor)
                    raise WorkerStartError(_last_line(error)) from error
                actor = self._replace(actor)
        raise AssertionError("unreachable")

    def _replace(self, actor: Any) -> Any:
        ray.kill(actor)
        return self._build(*self._arguments)


class _WorkerActor:
    """A worker as an actor of its own."""

    def __init__(self, worker: type, config: RunConfig) -> None:
        self._worker = SupervisedWorker(config, RayMeter, worker)

    def find_node(self) -> str:
        """Return the id of the node on which this actor runs."""
        return str(ray.get_runtime_context().get_node_id())

    def run(self, task: str) -> dict[str, Any]:
        return self._worker({"task": task})


def _last_line(error: Exception) -> str:
    if isinstance(error, ray.exceptions.OutOfMemoryError):
        return "killed by Ray's memory monitor, as the memory of its node was full"
    # Ray's report ends in the cause: the last line of a traceback, or how the actor died.
    return str(error).strip().splitlines()[-1]
