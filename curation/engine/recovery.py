"""Runs shards, and runs those whose workers died again without the clips that crash workers.

A native decoder that aborts, or a model that exhausts the machine's memory, kills the process. The
process itself cannot catch such a crash. A death has one of three causes, which are checked in this
order: too many workers for the memory, a lost node, or a clip. A clip is the cause only if its
worker dies more than once with this clip alone, and on more than one node if there are several.
"""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from curation import console
from curation.annotate.executor import Executor, IsolatedWorkers
from curation.annotate.task import Task, TaskResult, WorkerDeath
from curation.errors import RunError
from curation.run import deaths as recorded_deaths
from curation.run.layout import RunFolder

# A shard on which workers die is given up after so many deaths that no clip explains, over all
# drivers of the run.
UNEXPLAINED_DEATHS = 3
# A clip is blamed when its worker dies of it alone this often.
DEATHS_ALONE = 2


def run_and_recover(run: RunFolder, executor: Executor, shards: Sequence[Task]) -> list[str]:
    """Annotate shards, without the clips that crash their workers.

    Args:
        run: the run folder, in which deaths that no clip explains are recorded.
        executor: runs the tasks.
        shards: the tasks, one per shard.

    Returns:
        The errors of shards that raised an exception or were given up.

    Raises:
        InputError: the machine or the cluster is too small for the pools.
        WorkerStartError: no worker starts.
        RunError: a disk is full.
    """
    outcomes = {}
    for outcome in executor.run_tasks(shards):
        _require_disk_space(outcome)
        outcomes[outcome.task] = outcome
    results = [each for each in outcomes.values() if isinstance(each, TaskResult)]
    died = [task for task in shards if not isinstance(outcomes.get(task), TaskResult)]
    if died:
        console.stderr.print(f"workers died on {len(died)} shards; these are tried again")
        results += _recover(run, executor, died, list(outcomes.values()))
    return [result.error for result in results if result.error]


def _recover(
    run: RunFolder,
    executor: Executor,
    died: Sequence[Task],
    outcomes: Sequence[TaskResult | WorkerDeath],
) -> list[TaskResult]:
    """Finish shards; those that may have lacked memory one at a time, on a single worker."""
    unexplained = recorded_deaths.count_deaths(run)
    lacked = {
        each.task for each in outcomes if isinstance(each, WorkerDeath) and each.out_of_memory
    }
    results = []
    for tasks, workers in (
        ([task for task in died if task not in lacked], len(died)),
        ([task for task in died if task in lacked], 1),
    ):
        if tasks:
            with executor.isolate_workers(min(workers, len(tasks))) as isolated:
                results += _finish_shards(run, isolated, tasks, unexplained)
    return results


def _finish_shards(
    run: RunFolder, workers: IsolatedWorkers, died: Sequence[Task], unexplained: Counter[int]
) -> list[TaskResult]:
    threads = ThreadPoolExecutor(min(workers.count, len(died)))
    try:
        return list(threads.map(lambda task: finish_shard(run, workers, task, unexplained), died))
    finally:
        # After an error no thread is waited for: each ends when the workers are stopped.
        threads.shutdown(wait=False, cancel_futures=True)


def finish_shard(
    run: RunFolder, workers: IsolatedWorkers, shard: Task, unexplained: Counter[int]
) -> TaskResult:
    """Annotate a shard on which a worker died, without the clips that crash workers.

    `unexplained` has the number of deaths of each shard that no clip explains, and is updated.
    Raises RunError if a disk is full.
    """
    task = shard
    while unexplained[shard.shard] < UNEXPLAINED_DEATHS:
        outcome = workers.attempt(task)
        _require_disk_space(outcome)
        if isinstance(outcome, TaskResult):
            return replace(outcome, task=shard)
        crashing_clip = find_crashing_clip(workers, task)
        if crashing_clip is not None:
            task = replace(task, crashing_clips=(*task.crashing_clips, crashing_clip))
        else:
            recorded_deaths.record_death(run, shard.shard, outcome.cause)
            unexplained[shard.shard] += 1
    return _give_up(run, shard)


def _require_disk_space(outcome: TaskResult | WorkerDeath) -> None:
    """Raises RunError if a task found a disk full, as all others will."""
    if isinstance(outcome, TaskResult) and outcome.disk_full:
        raise RunError(outcome.error)


def find_crashing_clip(workers: IsolatedWorkers, task: Task) -> int | None:
    """Find the position of a clip that crashes its worker when it is processed alone.

    Returns None if there is no such clip.

    The clips of the shard are tried in groups. The first group on which a worker dies is split
    again, until one clip is left. If all groups before the last one complete, the last group is
    split without a trial.
    """
    suspects = [place for place in range(task.clip_count) if place not in task.crashing_clips]
    while len(suspects) > 1:
        groups = split_evenly(suspects, workers.trial_groups)
        crashing = (group for group in groups[:-1] if _crashes(workers, task, group))
        suspects = next(crashing, groups[-1])
    if suspects and _dies_alone(workers, replace(task, trial=tuple(suspects))):
        return suspects[0]
    return None


def split_evenly(items: Sequence[int], parts: int) -> list[list[int]]:
    """Split items into at most `parts` non-empty consecutive groups of almost equal size."""
    parts = min(parts, len(items))
    bounds = [len(items) * part // parts for part in range(parts + 1)]
    return [list(items[start:stop]) for start, stop in zip(bounds, bounds[1:], strict=False)]


def _dies_alone(workers: IsolatedWorkers, trial: Task) -> bool:
    """Whether workers die of a trial each time, on several nodes if there are several."""
    node = ""
    for _ in range(DEATHS_ALONE):
        outcome = workers.attempt(trial, avoided_node=node)
        if isinstance(outcome, TaskResult):
            return False
        node = outcome.node
    return True


def _crashes(workers: IsolatedWorkers, task: Task, clips: Sequence[int]) -> bool:
    return isinstance(workers.attempt(replace(task, trial=tuple(clips))), WorkerDeath)


def _give_up(run: RunFolder, shard: Task) -> TaskResult:
    cause = recorded_deaths.read_death_cause(run, shard.shard)
    error = (
        f"its worker died {UNEXPLAINED_DEATHS} times ({cause}), but of no clip alone; give each "
        f"worker more memory or smaller batches, and delete {recorded_deaths.deaths_uri(run.uri)} "
        "to try it again"
    )
    return TaskResult(shard, error, 0.0, 0.0)
