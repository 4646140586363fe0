"""The unit of work sent to workers, and what comes back of it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from curation.schema import Failure


@dataclass(frozen=True)
class Task:
    """A shard to annotate, or a trial of some of its clips.

    Attributes:
        shard: number of the shard in the plan.
        clip_count: clips of the shard.
        crashing_clips: positions in the shard that are not processed; they become error rows.
        trial: positions of the only clips that are processed, and no evidence is written; None: the
            whole shard.
    """

    shard: int
    clip_count: int
    crashing_clips: tuple[int, ...] = ()
    trial: tuple[int, ...] | None = None

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Task":
        values = json.loads(text)
        trial = values["trial"]
        return cls(
            values["shard"],
            values["clip_count"],
            tuple(values["crashing_clips"]),
            None if trial is None else tuple(trial),
        )


@dataclass(frozen=True)
class TaskResult:
    """How a task ended: its error, empty when it is done, and when its work was done."""

    task: Task
    error: str
    started_s: float  # Unix time at which its first stage began
    ended_s: float

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> "TaskResult":
        """From the row that the last worker returns."""
        return cls(Task.from_json(row["task"]), row["error"], row["started_s"], row["ended_s"])


@dataclass(frozen=True)
class WorkerDeath:
    """A worker process died while it worked on a task; `cause` says how it ended."""

    task: Task
    cause: str


def crash_failure() -> Failure:
    """The failure recorded in the row of a clip that kills its worker."""
    return Failure(
        "worker",
        "killed_worker",
        "the worker process died each time that it worked on this clip, and on this clip alone",
    )
