"""Clips that kill their worker: found by halving the shards that could not be done.

A native decoder that aborts, or a model out of the machine's memory, takes the whole process with
it, and no code of that process can make it a row. So what could not be done is rehearsed in halves
until single clips are left; the shard is then done without those, and they become its error rows.
"""

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, replace

from curation.schema import Failure


@dataclass(frozen=True)
class Task:
    """Clips `start` up to `stop` of a shard, in the plan's order.

    `killers`, by their place in the shard, are not touched. A rehearsal writes no evidence.
    """

    shard: int
    start: int
    stop: int
    killers: tuple[int, ...] = ()
    rehearsal: bool = False

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Task":
        values = json.loads(text)
        return cls(**{**values, "killers": tuple(values["killers"])})

    @property
    def clips(self) -> int:
        return self.stop - self.start

    def halves(self) -> list["Task"]:
        """Two tasks that make up this one; of a single clip, itself."""
        middle = (self.start + self.stop) // 2
        both = replace(self, stop=middle), replace(self, start=middle)
        return [half for half in both if half.clips]


Survived = Callable[[Sequence[Task]], Collection[Task]]


def killers(shards: Sequence[Task], survived: Survived) -> dict[int, tuple[int, ...]]:
    """The clips that kill their worker when it works on each alone, by shard.

    Args:
        shards: whole shards whose workers died.
        survived: tries tasks, and says which of them their workers lived through. All that are
            left over of one size are tried together, so a call for every halving.
    """
    found: dict[int, tuple[int, ...]] = {task.shard: () for task in shards}
    suspects = [half for task in shards for half in replace(task, rehearsal=True).halves()]
    while suspects:
        alive = survived(suspects)
        dead = [task for task in suspects if task not in alive]
        for task in dead:
            if task.clips == 1:
                found[task.shard] += (task.start,)
        suspects = [half for task in dead if task.clips > 1 for half in task.halves()]
    return {shard: tuple(sorted(clips)) for shard, clips in found.items()}


def failure() -> Failure:
    """What the row of such a clip says."""
    return Failure(
        "worker",
        "killed_worker",
        "the worker process died each time that it worked on this clip, and on this clip alone",
    )
