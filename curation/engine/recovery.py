"""Runs shards, and runs those again whose workers died, without the clips that crash them.

A native decoder that aborts, or a model that exhausts the machine's memory, kills the process: a
crash cannot be caught in-process. Deaths by a lost node are covered by another attempt; a clip is
blamed only when its worker dies of it alone, and more than once.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from curation import console
from curation.annotate.executor import Executor, IsolatedWorkers
from curation.annotate.task import Task, TaskResult, WorkerDeath

# A shard on which workers die is given up after so many deaths that no clip explains.
UNEXPLAINED_DEATHS = 3
# A clip is blamed when its worker dies of it alone this often.
DEATHS_ALONE = 2


def run_and_recover(executor: Executor, shards: Sequence[Task]) -> list[str]:
    """Annotate shards, without the clips that crash their workers.

    Args:
        executor: runs the tasks.
        shards: the tasks, one a shard.

    Returns:
        The errors of those shards that raised or were given up.

    Raises:
        InputError: the machine or the cluster is too small for the pools.
        WorkerStartError: no worker starts.
    """
    results = list(executor.run_tasks(shards))
    completed = {result.task for result in results}
    died = [task for task in shards if task not in completed]
    if died:
        console.stderr.print(f"workers died on {len(died)} shards; these are tried again")
        with executor.isolate_workers(len(died)) as workers:
            results += _finish_shards(workers, died)
    return [result.error for result in results if result.error]


def _finish_shards(workers: IsolatedWorkers, died: Sequence[Task]) -> list[TaskResult]:
    threads = ThreadPoolExecutor(min(workers.count, len(died)))
    try:
        return list(threads.map(lambda task: finish_shard(workers, task), died))
    finally:
        # After an error no thread is waited for: each ends when the workers are stopped.
        threads.shutdown(wait=False, cancel_futures=True)


def finish_shard(workers: IsolatedWorkers, shard: Task) -> TaskResult:
    """Annotate one shard on which a worker died, without the clips that crash their workers."""
    task, unexplained = shard, 0
    while True:
        outcome = workers.attempt(task)
        if isinstance(outcome, TaskResult):
            return replace(outcome, task=shard)
        crashing_clip = find_crashing_clip(workers, task)
        if crashing_clip is not None:
            task = replace(task, crashing_clips=(*task.crashing_clips, crashing_clip))
            continue
        unexplained += 1
        if unexplained == UNEXPLAINED_DEATHS:
            return _give_up(shard, outcome)


def find_crashing_clip(workers: IsolatedWorkers, task: Task) -> int | None:
    """The position of a clip that crashes its worker when it is processed alone, if there is one.

    The clips of the shard are tried in groups, and the first group on which a worker dies is split
    again, until one clip is left. A last group needs no trial of its own: all others completed.
    """
    suspects = [place for place in range(task.clip_count) if place not in task.crashing_clips]
    while len(suspects) > 1:
        groups = split_evenly(suspects, workers.trial_groups)
        crashing = (group for group in groups[:-1] if _crashes(workers, task, group))
        suspects = next(crashing, groups[-1])
    if suspects and all(_crashes(workers, task, suspects) for _ in range(DEATHS_ALONE)):
        return suspects[0]
    return None


def split_evenly(items: Sequence[int], parts: int) -> list[list[int]]:
    """Neighbours in at most `parts` groups, none empty, whose sizes differ by one at most."""
    parts = min(parts, len(items))
    bounds = [len(items) * part // parts for part in range(parts + 1)]
    return [list(items[start:stop]) for start, stop in zip(bounds, bounds[1:], strict=False)]


def _crashes(workers: IsolatedWorkers, task: Task, clips: Sequence[int]) -> bool:
    return isinstance(workers.attempt(replace(task, trial=tuple(clips))), WorkerDeath)


def _give_up(shard: Task, death: WorkerDeath) -> TaskResult:
    error = f"its worker died {UNEXPLAINED_DEATHS} times ({death.cause}), but of no clip alone"
    return TaskResult(shard, error, 0.0, 0.0)
