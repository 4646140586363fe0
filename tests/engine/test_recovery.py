"""Which clip is blamed for a death, by workers that die as the test says."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from curation.annotate.common_failure import CommonFailure
from curation.annotate.metrics import NullMeter
from curation.annotate.task import (
    Task,
    TaskResult,
    WorkerDeath,
    build_outcome_row,
    parse_outcome,
)
from curation.engine.recovery import (
    find_crashing_clip,
    finish_shard,
    run_and_recover,
    split_evenly,
)
from curation.run.deaths import count_deaths, record_death
from curation.run.layout import RunFolder
from tests.fakes import CrashingWorkers


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder(str(tmp_path))


@pytest.mark.parametrize("clips", [1, 2, 9, 64, 500])
@pytest.mark.parametrize("groups", [2, 8])
def test_the_crashing_clip_is_found_with_few_deaths(clips: int, groups: int) -> None:
    for crashing in {0, clips // 2, clips - 1}:
        workers = CrashingWorkers({crashing}, groups=groups)
        assert find_crashing_clip(workers, Task(3, clips)) == crashing
        levels = int(np.ceil(np.log(clips) / np.log(groups) - 1e-9)) if clips > 1 else 0
        assert workers.deaths <= levels + 2
        assert all(task.shard == 3 and task.trial for task in workers.tasks)


@pytest.mark.parametrize("seed", range(5))
def test_a_shard_is_finished_without_every_crashing_clip_and_no_other(
    seed: int, run: RunFolder
) -> None:
    rng = np.random.default_rng(seed)
    crashing = set(rng.choice(100, size=seed, replace=False).tolist())
    workers = CrashingWorkers(crashing)
    shard = Task(7, 100)
    result = finish_shard(run, workers, shard, Counter())
    assert (result.task, result.error) == (shard, "")
    assert set(workers.tasks[-1].crashing_clips) == crashing
    assert workers.tasks[-1].trial is None


def test_a_death_by_chance_blames_no_clip(run: RunFolder) -> None:
    """The first attempt dies, and a trial; the shard is whole at the next attempt."""
    workers = CrashingWorkers(set(), dying_attempts={1, 3})
    result = finish_shard(run, workers, Task(0, 40), Counter())
    assert result.error == ""
    assert workers.tasks[-1].crashing_clips == ()


def test_a_clip_is_blamed_only_by_two_deaths_alone(run: RunFolder) -> None:
    """A clip at which a worker dies once by chance, the only one of its shard."""
    workers = CrashingWorkers(set(), dying_attempts={1, 2})
    assert finish_shard(run, workers, Task(0, 1), Counter()).error == ""
    assert workers.tasks[-1].crashing_clips == ()


class WholeShardTooLarge(CrashingWorkers):
    """Workers whose memory holds any part of a shard, but not all of it."""

    def __init__(self) -> None:
        super().__init__(())

    def attempt(self, task: Task, avoided_node: str = "") -> TaskResult | WorkerDeath:
        self._crashing_clips = set() if task.trial else {0}
        return super().attempt(task, avoided_node)


def test_the_second_death_alone_is_sought_on_another_node() -> None:
    workers = CrashingWorkers({0})
    assert find_crashing_clip(workers, Task(0, 1)) == 0
    assert workers.avoided_nodes == ["", "node 1"]


def test_a_shard_is_given_up_where_no_clip_explains_its_deaths(run: RunFolder) -> None:
    result = finish_shard(run, WholeShardTooLarge(), Task(5, 8), Counter())
    assert result.task == Task(5, 8)
    assert "died 3 times (killed by SIGABRT), but of no clip alone" in result.error
    assert f"delete {run.uri}/deaths to try it again" in result.error


def test_unexplained_deaths_are_counted_over_all_drivers(run: RunFolder) -> None:
    """A driver that ended after two of them is followed by one that allows one more."""
    for _ in range(2):
        record_death(run, 5, "killed by SIGKILL")
    workers = WholeShardTooLarge()
    result = finish_shard(run, workers, Task(5, 8), count_deaths(run))
    assert "died 3 times" in result.error
    assert [task for task in workers.tasks if task.trial is None] == [Task(5, 8)]
    assert count_deaths(run) == {5: 3}
    again = WholeShardTooLarge()
    assert "died 3 times" in finish_shard(run, again, Task(5, 8), count_deaths(run)).error
    assert again.tasks == []


class ScriptedExecutor:
    """An executor whose first pass ends as given; counts the workers that are isolated."""

    def __init__(self, outcomes: list[TaskResult | WorkerDeath]) -> None:
        self.meter = NullMeter()
        self.isolated: list[tuple[int, CrashingWorkers]] = []
        self._outcomes = outcomes

    def run_tasks(self, tasks: Sequence[Task]) -> Iterator[TaskResult | WorkerDeath]:
        yield from self._outcomes

    @contextmanager
    def isolate_workers(self, count: int) -> Iterator[CrashingWorkers]:
        workers = CrashingWorkers(())
        self.isolated.append((count, workers))
        yield workers


def test_shards_that_lacked_memory_are_tried_one_at_a_time_after_the_others(
    run: RunFolder,
) -> None:
    shards = [Task(shard, 4) for shard in range(6)]
    executor = ScriptedExecutor(
        [
            TaskResult(shards[0], "", 0.0, 1.0),
            WorkerDeath(shards[1], "killed by SIGABRT"),
            WorkerDeath(shards[2], "killed by SIGKILL", out_of_memory=True),
            WorkerDeath(shards[3], "killed by SIGKILL", out_of_memory=True),
            TaskResult(shards[5], "the disk is full", 0.0, 1.0),
        ]
    )
    assert run_and_recover(run, executor, shards) == ["the disk is full"]
    (many, first), (one, second) = executor.isolated
    assert (many, first.tasks) == (2, [shards[1], shards[4]])
    assert (one, second.tasks) == (1, [shards[2], shards[3]])


def test_a_shard_is_split_into_neighbours_of_like_size() -> None:
    groups = split_evenly(list(range(20)), 8)
    assert [clip for group in groups for clip in group] == list(range(20))
    assert {len(group) for group in groups} == {2, 3}
    assert split_evenly([4, 9], 8) == [[4], [9]]


def test_a_task_travels_as_text() -> None:
    for task in (Task(7, 9), Task(7, 9, crashing_clips=(4, 8), trial=(1, 2), hold_clips=5)):
        assert Task.from_json(task.to_json()) == task


@pytest.mark.parametrize(
    "outcome",
    [
        TaskResult(Task(7, 9), "", 1.5, 2.5),
        TaskResult(Task(7, 9), "OSError: gone", 1.5, 2.5),
        TaskResult(Task(7, 9), "x: no space left on its disk", 1.5, 2.5, disk_full=True),
        TaskResult(Task(7, 9, hold_clips=9), "", 1.5, 2.5, CommonFailure("read", "x", "c", "m")),
        WorkerDeath(Task(7, 9), "killed by SIGKILL", out_of_memory=True),
    ],
)
def test_an_outcome_travels_as_a_row(outcome: TaskResult | WorkerDeath) -> None:
    assert parse_outcome(build_outcome_row(outcome)) == outcome
