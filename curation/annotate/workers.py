"""The workers of the pools. A worker has models and loaders, and does one pool's work on a shard.

The workers do not depend on the executor. They take and return rows. A row has a task (`task.Task`)
and, between pools, also the clips of the task.
"""

import json
import pickle
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import pyarrow as pa

from curation.annotate import metrics
from curation.annotate.clip import AnnotatedClip, PlannedClip, parse_planned_clips
from curation.annotate.common_failure import CommonFailure, find_common_failure
from curation.annotate.load import AudioLoader, split_chunks
from curation.annotate.pipeline import annotate_clips
from curation.annotate.rows import (
    build_evidence_table,
    count_failed_second_draws,
    count_read_faults,
)
from curation.annotate.task import Task, crash_failure
from curation.annotate.worker_models import WorkerModels
from curation.config.run import RunConfig
from curation.errors import describe_disk_full, is_disk_full
from curation.run import evidence, plan
from curation.run.layout import RunFolder

Row = dict[str, Any]
Spans = list[evidence.WorkSpan]
Clips = list[AnnotatedClip]

# How evidence names this process: nothing of the machine is in it.
WORKER_ID = uuid.uuid4().hex[:12]


class TaskOutput(NamedTuple):
    """A pool's output for a task: the clips, or the failure for which evidence is held back."""

    clips: Clips = []
    held: CommonFailure | None = None


class FusedWorker:
    """The worker of `placement: fused`. It runs all stages on whole shards.

    The audio stays in the process of the worker.
    """

    def __init__(self, config: RunConfig, make_meter: metrics.MeterFactory) -> None:
        self.models = WorkerModels(config, make_meter, caption=True, score=True)
        self.loader = self.models.build_loader()

    def __call__(self, row: Row) -> Row:
        return run_task(row, "fused", self._annotate)

    def run(self, planned: Sequence[PlannedClip]) -> Clips:
        """Run all stages on planned clips."""
        return annotate_clips(self.models, self.loader, planned).clips

    def _annotate(self, task: Task, _: Clips, spans: Spans) -> TaskOutput:
        planned = read_planned_clips(self.models.run, task)
        clips, rows = annotate_clips(self.models, self.loader, planned)
        return TaskOutput(held=write_evidence(self.models, task, clips, rows, spans))


class DecodeWorker:
    """Reads and decodes clips. It runs in the first of three pools, with `placement: separate`."""

    def __init__(self, config: RunConfig, make_meter: metrics.MeterFactory) -> None:
        self.models = WorkerModels(config, make_meter, caption=False, score=False)
        self.loader = self.models.build_loader()

    def __call__(self, row: Row) -> Row:
        return run_task(row, "decode", self._decode)

    def run(self, planned: Sequence[PlannedClip]) -> Clips:
        """Read and decode clips."""
        return load_all_clips(self.models, self.loader, planned)

    def _decode(self, task: Task, _: Clips, __: Spans) -> TaskOutput:
        return TaskOutput(self.run(read_planned_clips(self.models.run, task)))


class CaptionWorker:
    """Predicts tags and writes captions for decoded clips. It runs in the second of three pools."""

    def __init__(self, config: RunConfig, make_meter: metrics.MeterFactory) -> None:
        self.models = WorkerModels(config, make_meter, caption=True, score=False)

    def __call__(self, row: Row) -> Row:
        return run_task(row, "caption", lambda _, clips, __: TaskOutput(self.run(clips)))

    def run(self, clips: Sequence[AnnotatedClip]) -> Clips:
        """Tag and caption decoded clips."""
        captioned: Clips = []
        with self.models.lock.register() as handle:
            handle.acquire()
            for part in split_chunks(clips):
                chunks = [self.models.cutter.cut(part)]
                chunks = self.models.verify(self.models.tag(chunks))
                [chunk] = self.models.caption(self.models.drop_failed(chunks))
                captioned += chunk.clips
        return captioned


class ScoreWorker:
    """Scores captions and writes the evidence. It runs in the last of three pools."""

    def __init__(self, config: RunConfig, make_meter: metrics.MeterFactory) -> None:
        self.models = WorkerModels(config, make_meter, caption=False, score=True)

    def __call__(self, row: Row) -> Row:
        return run_task(row, "score", self._score)

    def run(self, clips: Sequence[AnnotatedClip]) -> Clips:
        """Score captioned clips."""
        scored: Clips = []
        with self.models.lock.register() as handle:
            handle.acquire()
            for part in split_chunks(clips):
                chunks = [self.models.cutter.cut(part)]
                [chunk] = self.models.score_again(self.models.score(chunks))
                scored += chunk.clips
        return scored

    def _score(self, task: Task, clips: Clips, spans: Spans) -> TaskOutput:
        scored = self.run(clips)
        rows = build_evidence_table(scored)
        return TaskOutput(held=write_evidence(self.models, task, scored, rows, spans))


def read_planned_clips(run: RunFolder, task: Task) -> list[PlannedClip]:
    """Read the planned clips of a task. Clips that crash their worker get a failure."""
    clips = parse_planned_clips(plan.read_plan_shard(run, task.shard))
    for position in task.crashing_clips:
        clips[position] = replace(clips[position], failure=crash_failure())
    return clips if task.trial is None else [clips[position] for position in task.trial]


def load_all_clips(
    models: WorkerModels, loader: AudioLoader, planned: Sequence[PlannedClip]
) -> Clips:
    """Read and decode all clips at once, not chunk by chunk."""
    loaded = [future.result() for future in loader.submit(planned)]
    models.record_load_costs(loaded)
    return loaded


def write_evidence(
    models: WorkerModels, task: Task, clips: Clips, rows: pa.Table, spans: Spans
) -> CommonFailure | None:
    """Write the evidence of a shard and record its outcomes. For a trial, write nothing.

    Returns the failure for which the evidence is held back, if the task requests that.
    """
    if task.trial is not None:
        return None
    failure = find_common_failure(rows, task.hold_clips)
    with models.timed("write"):
        # The last worker's span ends where the file that records it is written.
        spans = [*spans[:-1], spans[-1]._replace(ended_s=time.time())]
        counts = evidence.write_evidence_shard(
            models.run,
            task.shard,
            rows,
            spans,
            count_read_faults(clips),
            count_failed_second_draws(clips),
            held=failure is not None,
        )
    for outcome, number in {"ok": counts.ok, **counts.errors}.items():
        models.meter.record(metrics.CLIPS, number, outcome=outcome)
    for error, number in counts.failed_second_draws.items():
        models.meter.record(metrics.FAILED_SECOND_DRAWS, number, error=error)
    return failure


def run_task(row: Row, pool: str, work: Callable[[Task, Clips, Spans], TaskOutput]) -> Row:
    """Run the work of one pool on one task. An exception is returned to the driver in the row.

    Between pools the clips of a task are one opaque value, which Ray never splits. This function
    pickles and unpickles the value, and only within the cluster, like Ray's own objects.
    """
    started_s = time.time()
    task, error = Task.from_json(row["task"]), row.get("error", "")
    disk_full = row.get("disk_full", False)
    spans = [evidence.WorkSpan(*span) for span in json.loads(row.get("spans", "[]"))]
    spans.append(evidence.WorkSpan(pool, WORKER_ID, started_s, started_s))
    output = TaskOutput()
    if not error:
        try:
            output = work(task, pickle.loads(row["clips"]) if "clips" in row else [], spans)
        except Exception as raised:
            error = f"{type(raised).__name__}: {raised}"
            if disk_full := is_disk_full(raised):
                error = describe_disk_full(raised)
    spans[-1] = spans[-1]._replace(ended_s=time.time())
    return {
        "task": row["task"],
        "error": error,
        "started_s": spans[0].started_s,
        "ended_s": spans[-1].ended_s,
        "disk_full": disk_full,
        "held": output.held.to_json() if output.held else "",
        "spans": json.dumps(spans),
        "clips": pickle.dumps(output.clips, protocol=5),
    }
