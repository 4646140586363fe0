"""The unit of work sent through the graph, and the search for clips that crash their worker.

A native decoder that aborts, or a model that exhausts the machine's memory, kills the process: a
crash cannot be caught in-process. Failing shards are re-run in halves until the crashing clips are
found; the shards are then annotated without them, and these clips become error rows.
"""

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, replace

from curation.schema import Failure


@dataclass(frozen=True)
class Task:
    """Clips `start` up to `stop` of a shard, in the plan's order.

    `crashing_clips`, by their position in the shard, are not processed. A dry run writes no
    evidence.
    """

    shard: int
    start: int
    stop: int
    crashing_clips: tuple[int, ...] = ()
    dry_run: bool = False

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Task":
        values = json.loads(text)
        return cls(**{**values, "crashing_clips": tuple(values["crashing_clips"])})

    @property
    def clip_count(self) -> int:
        return self.stop - self.start

    def split(self) -> list["Task"]:
        """The halves of this task; a task of one clip is returned as it is."""
        middle = (self.start + self.stop) // 2
        both = replace(self, stop=middle), replace(self, start=middle)
        return [half for half in both if half.clip_count]


TryTasks = Callable[[Sequence[Task]], Collection[Task]]


def find_crashing_clips(shards: Sequence[Task], try_tasks: TryTasks) -> dict[int, tuple[int, ...]]:
    """Positions of the clips that crash their worker when they are processed alone, by shard.

    Args:
        shards: whole shards whose workers died.
        try_tasks: runs tasks, and returns those that their workers completed. All remaining tasks
            of one size are tried in one call, so there is one call for every halving.
    """
    found: dict[int, tuple[int, ...]] = {task.shard: () for task in shards}
    suspects = [half for task in shards for half in replace(task, dry_run=True).split()]
    while suspects:
        completed = try_tasks(suspects)
        crashed = [task for task in suspects if task not in completed]
        for task in crashed:
            if task.clip_count == 1:
                found[task.shard] += (task.start,)
        suspects = [half for task in crashed if task.clip_count > 1 for half in task.split()]
    return {shard: tuple(sorted(clips)) for shard, clips in found.items()}


def crash_failure() -> Failure:
    """The failure recorded in the row of such a clip."""
    return Failure(
        "worker",
        "killed_worker",
        "the worker process died each time that it worked on this clip, and on this clip alone",
    )
