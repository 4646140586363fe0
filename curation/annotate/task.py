"""A task, the unit of work sent to workers, and the outcome of a task."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from curation.annotate.common_failure import CommonFailure
from curation.schema import Failure


@dataclass(frozen=True)
class Task:
    """A shard to annotate, or a trial of some clips of a shard.

    Attributes:
        shard: number of the shard in the plan.
        clip_count: number of clips in the shard.
        crashing_clips: positions in the shard of clips that are not processed; each becomes an
            error row.
        trial: positions of the only clips to process, without writing evidence; None to annotate
            the whole shard.
        hold_clips: number of the shard's first clips with audio to check. If all of them fail in
            the same way, the evidence is held back. If the number is 0, the evidence is written in
            any case.
    """

    shard: int
    clip_count: int
    crashing_clips: tuple[int, ...] = ()
    trial: tuple[int, ...] | None = None
    hold_clips: int = 0

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
            values["hold_clips"],
        )


@dataclass(frozen=True)
class TaskResult:
    """The outcome of a task that ended: an error (empty on success), and when the work was done.

    `held` is the failure that caused the evidence to be held back, or None if the evidence is
    written. `disk_full` is True if the error is a full disk. A full disk stops the run, because
    every other shard would fail in the same way.
    """

    task: Task
    error: str
    started_s: float  # Unix time at which its first stage began
    ended_s: float
    held: CommonFailure | None = None
    disk_full: bool = False


@dataclass(frozen=True)
class WorkerDeath:
    """The outcome of a task whose worker process died.

    Attributes:
        task: the task.
        cause: a description of how the process ended.
        out_of_memory: whether the process may have been killed for lack of memory.
        node: the cluster node on which the process died; empty on one machine.
    """

    task: Task
    cause: str
    out_of_memory: bool = False
    node: str = ""


def parse_outcome(row: Mapping[str, Any]) -> TaskResult | WorkerDeath:
    """Parse the outcome of a task from the row that a worker or its supervisor returns."""
    task = Task.from_json(row["task"])
    if row.get("death"):
        return WorkerDeath(task, row["death"], row["out_of_memory"])
    held = CommonFailure.from_json(row["held"]) if row.get("held") else None
    times = row["started_s"], row["ended_s"]
    return TaskResult(task, row["error"], *times, held, row["disk_full"])


def build_outcome_row(outcome: TaskResult | WorkerDeath) -> dict[str, Any]:
    """Build the row from which `parse_outcome` reads an outcome. All rows have the same columns."""
    row: dict[str, Any] = {
        "task": outcome.task.to_json(),
        "error": "",
        "started_s": 0.0,
        "ended_s": 0.0,
        "held": "",
        "disk_full": False,
        "death": "",
        "out_of_memory": False,
    }
    if isinstance(outcome, WorkerDeath):
        return row | {"death": outcome.cause, "out_of_memory": outcome.out_of_memory}
    times = {"started_s": outcome.started_s, "ended_s": outcome.ended_s}
    held = outcome.held.to_json() if outcome.held else ""
    return row | {
        "error": outcome.error,
        "held": held,
        "disk_full": outcome.disk_full,
        **times,
    }


def crash_failure() -> Failure:
    """Return the failure for the evidence row of a clip that crashes its worker."""
    return Failure(
        "worker",
        "killed_worker",
        "the worker process died each time that it worked on this clip, and on this clip alone",
    )
