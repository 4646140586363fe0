"""Which of Ray's errors end a run, and which lose a task that is tried again."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import ray

from curation.annotate.executor import WorkerStartError
from curation.annotate.task import Task, TaskResult, WorkerDeath
from curation.cluster import graph
from curation.cluster.ray_executor import IsolatedGraph, RayExecutor
from curation.config.run import RunConfig
from tests.support.runs import corpus_run


class FailingGraph:
    """A graph that yields its results, then raises."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __call__(self, config: RunConfig, tasks: list[Task], *_: Any) -> Iterator[TaskResult]:
        yield from (TaskResult(task, "", 0.0, 1.0) for task in tasks[:1])
        raise self._error


@pytest.fixture
def executor(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RayExecutor:
    """An executor that is connected to no Ray; its graph is the test's."""

    @contextmanager
    def connect(self: RayExecutor) -> Iterator[None]:
        yield

    monkeypatch.setattr(RayExecutor, "_connect", connect)
    return RayExecutor(corpus_run(corpus, tmp_path / "run", cluster="ray"), object)


@pytest.mark.parametrize(
    "error",
    [
        ray.exceptions.RuntimeEnvSetupError("pip could not install vllm"),
        ray.exceptions.ActorUnschedulableError("no node has label x"),
        ray.exceptions.ActorDiedError(),
    ],
    ids=["runtime environment", "unschedulable", "constructor"],
)
def test_workers_that_cannot_be_built_end_the_run_with_rays_reason(
    executor: RayExecutor, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph, "run_tasks", FailingGraph(error))
    reason = str(error).strip().splitlines()[-1]
    with executor, pytest.raises(WorkerStartError) as raised:
        list(executor.run_tasks([Task(0, 1), Task(1, 1)]))
    assert str(raised.value) == f"workers cannot start: {reason}"


def test_a_graph_that_ends_for_lack_of_memory_leaves_its_tasks_to_a_single_worker(
    executor: RayExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = ray.exceptions.OutOfMemoryError("Task was killed due to the node running low on memory")
    monkeypatch.setattr(graph, "run_tasks", FailingGraph(error))
    tasks = [Task(shard, 1) for shard in range(3)]
    with executor:
        done, *deaths = executor.run_tasks(tasks)
    assert isinstance(done, TaskResult)
    cause = "killed by Ray's memory monitor, as the memory of its node was full"
    assert deaths == [WorkerDeath(task, cause, out_of_memory=True) for task in tasks[1:]]


def test_a_graph_of_one_task_whose_actor_dies_is_a_death(
    executor: RayExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph, "run_tasks", FailingGraph(ray.exceptions.ActorDiedError()))
    outcome = IsolatedGraph(executor._config).attempt(Task(0, 1))
    assert isinstance(outcome, WorkerDeath) and outcome.task == Task(0, 1)
