"""Stops a run whose first clips all fail in the same way, before it writes error rows for them.

A model that does not run, or storage that cannot be read, fails every clip in the same way, and
error rows are final. Therefore, if all clips of a shard fail in the same way, the worker puts the
evidence of this shard into `held/`. The decision depends on the first `FIRST_CLIPS` clips with
audio, in the order of the plan. If all of them fail at one stage with one kind of error, the run
stops and `held/` is deleted. Otherwise the held files become evidence.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace

from curation.annotate.common_failure import CommonFailure
from curation.annotate.executor import Executor, IsolatedWorkers
from curation.annotate.task import Task, TaskResult, WorkerDeath
from curation.engine.early_stop import FIRST_CLIPS, EarlyStop
from curation.run import evidence, plan
from curation.run.layout import RunFolder


def build_tasks(planned: plan.Plan, shards: Sequence[int], first: Mapping[int, int]) -> list[Task]:
    """Build one task for each shard. `first` is the result of `count_first_clips`."""
    sizes = {shard: planned.shard_size(shard) for shard in shards}
    # Of later shards every clip counts, as only what fails as a whole is held.
    held = {**sizes, **first} if first else dict.fromkeys(sizes, 0)
    return [Task(shard, size, hold_clips=held[shard]) for shard, size in sizes.items()]


def count_first_clips(run: RunFolder, shards: Sequence[int]) -> dict[int, int]:
    """Count how many of the first `FIRST_CLIPS` clips with audio are in each of the first shards.

    The result is empty if the shards have fewer than `FIRST_CLIPS` clips with audio. So few clips
    may themselves be the cause of a failure.
    """
    first, wanted = {}, FIRST_CLIPS
    for shard in shards:
        uris = plan.read_plan_shard(run, shard)["uri"]
        if count := min(wanted, len(uris) - uris.null_count):
            first[shard] = count
            wanted -= count
        if not wanted:
            return first
    return {}


class HoldingExecutor:
    """An `Executor` that decides on evidence that is held back, and releases or deletes it."""

    def __init__(
        self, executor: Executor, run: RunFolder, first: Mapping[int, int], early_stop: EarlyStop
    ) -> None:
        """`first` is the result of `count_first_clips`; `early_stop` stops the run."""
        self.meter = executor.meter
        self._executor, self._run, self._early_stop = executor, run, early_stop
        self._first_shard = min(first, default=0)
        self._undecided = set(first)
        self._common: CommonFailure | None = None
        self._held: set[int] = set()

    def run_tasks(self, tasks: Sequence[Task]) -> Iterator[TaskResult | WorkerDeath]:
        """Run tasks as `Executor.run_tasks` specifies.

        Raises FirstClipsFailedError if the first clips have all failed in the same way.
        """
        for outcome in self._executor.run_tasks(tasks):
            held = outcome.held if isinstance(outcome, TaskResult) else None
            if held:
                self._held.add(outcome.task.shard)
            if outcome.task.shard in self._undecided:
                self._decide(outcome.task.shard, held)
            if not self._undecided:
                self._release()
            yield outcome
        # Of the first shards, one was lost with its node.
        self._release()

    @contextmanager
    def isolate_workers(self, count: int) -> Iterator[IsolatedWorkers]:
        """Start isolated workers as `Executor.isolate_workers` specifies.

        The first clips are decided by then, so no evidence is held back.
        """
        with self._executor.isolate_workers(count) as workers:
            yield _WritingWorkers(workers)

    def _decide(self, shard: int, held: CommonFailure | None) -> None:
        """Take note of how one of the first shards ended."""
        self._common = self._common or held
        if held is None or self._common is None or held.name != self._common.name:
            self._undecided = set()
            return
        self._undecided.remove(shard)
        if not self._undecided:
            with suppress(OSError):  # workers may still write there, and what is left is of no use
                evidence.delete_held_shards(self._run)
            self._early_stop.stop(self._common, self._first_shard)

    def _release(self) -> None:
        for shard in sorted(self._held):
            evidence.release_held_shard(self._run, shard)
        self._held.clear()


class _WritingWorkers:
    """Isolated workers that write the evidence of each shard, whatever became of its clips."""

    def __init__(self, workers: IsolatedWorkers) -> None:
        self.count, self.trial_groups = workers.count, workers.trial_groups
        self._workers = workers

    def attempt(self, task: Task, avoided_node: str = "") -> TaskResult | WorkerDeath:
        """Run a task as `IsolatedWorkers.attempt` specifies, and never hold its evidence back."""
        return self._workers.attempt(replace(task, hold_clips=0), avoided_node)
