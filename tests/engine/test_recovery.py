"""Which clip is blamed for a death, by workers that die as the test says."""

import numpy as np
import pytest

from curation.annotate.task import Task
from curation.engine.recovery import find_crashing_clip, finish_shard, split_evenly
from tests.fakes import CrashingWorkers


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
def test_a_shard_is_finished_without_every_crashing_clip_and_no_other(seed: int) -> None:
    rng = np.random.default_rng(seed)
    crashing = set(rng.choice(100, size=seed, replace=False).tolist())
    workers = CrashingWorkers(crashing)
    shard = Task(7, 100)
    result = finish_shard(workers, shard)
    assert (result.task, result.error) == (shard, "")
    assert set(workers.tasks[-1].crashing_clips) == crashing
    assert workers.tasks[-1].trial is None


def test_a_death_by_chance_blames_no_clip() -> None:
    """The first attempt dies, and a trial; the shard is whole at the next attempt."""
    workers = CrashingWorkers(set(), dying_attempts={1, 3})
    result = finish_shard(workers, Task(0, 40))
    assert result.error == ""
    assert workers.tasks[-1].crashing_clips == ()


def test_a_clip_is_blamed_only_by_two_deaths_alone() -> None:
    """A clip at which a worker dies once by chance, the only one of its shard."""
    workers = CrashingWorkers(set(), dying_attempts={1, 2})
    assert finish_shard(workers, Task(0, 1)).error == ""
    assert workers.tasks[-1].crashing_clips == ()


def test_a_shard_is_given_up_where_no_clip_explains_its_deaths() -> None:
    """Only all clips together are too much for the worker's memory."""

    class FullShardTooLarge(CrashingWorkers):
        def attempt(self, task: Task):  # type: ignore[no-untyped-def]
            self._crashing_clips = set(range(8)) if task.trial is None else set()
            return super().attempt(task)

    workers = FullShardTooLarge(set())
    result = finish_shard(workers, Task(5, 8))
    assert result.task == Task(5, 8)
    assert "died 3 times (killed by SIGABRT), but of no clip alone" in result.error


def test_a_shard_is_split_into_neighbours_of_like_size() -> None:
    groups = split_evenly(list(range(20)), 8)
    assert [clip for group in groups for clip in group] == list(range(20))
    assert {len(group) for group in groups} == {2, 3}
    assert split_evenly([4, 9], 8) == [[4], [9]]


def test_a_task_travels_as_text() -> None:
    for task in (Task(7, 9), Task(7, 9, crashing_clips=(4, 8), trial=(1, 2))):
        assert Task.from_json(task.to_json()) == task
