"""The actors of the graph: what a worker holds, and what it does with a shard.

They carry the plain stages of `stages` across a Ray cluster, but know nothing of Ray themselves.
A row is a task (`isolate.Task`) and, between pools, its clips.
"""

import json
import pickle
import time
import uuid
from collections.abc import Callable
from typing import Any

from curation.annotate import metrics, scoring, stages
from curation.annotate.task import Task, crash_failure
from curation.annotate.worker_models import Clips, WorkerModels
from curation.config.run import RunConfig
from curation.run import evidence, plan
from curation.run.layout import RunFolder

Row = dict[str, Any]
Spans = list[evidence.WorkSpan]

# How evidence names this process: nothing of the machine is in it.
WORKER = uuid.uuid4().hex[:12]


class FusedWorker:
    """Reads, decodes, tags, captions and scores whole shards; sound never leaves the process."""

    def __init__(self, config: RunConfig, make_meter: metrics.MeterFactory) -> None:
        self.models = WorkerModels(config, make_meter, caption=True, score=True)
        self.hearing = self.models.hearing()

    def __call__(self, row: Row) -> Row:
        return step(row, "fused", self._annotate)

    def run(self, clips: Clips) -> Clips:
        """Take clips through all stages."""
        with self.models.lock.register() as turn:
            if self.models.offloads:
                # Models that come and go do so once a shard. It is decoded by then, while another
                # shard has the models, and keeps them to its end.
                decoded = list(stages.decode_ahead(clips, self.hearing))
                turn.acquire()
                self._listen(decoded)
            else:
                for chunk in stages.decode_ahead(clips, self.hearing, turn.release):
                    turn.acquire()
                    self._listen([chunk])
        return clips

    def _listen(self, chunks: list[Clips]) -> None:
        """Tag, caption and score decoded chunks; draw more for clips that want more."""
        adaptive = self.models.config.adaptive
        for chunk in chunks:
            measure_decoded(self.models.meter, chunk)
        self.models.tag(self._batches(chunks))
        if adaptive:
            self._draw(chunks, slice(0, adaptive.first))
            wanting = [scoring.below(chunk, adaptive.enough_score) for chunk in chunks]
            self._draw(wanting, slice(adaptive.first, None))
        else:
            self._draw(chunks, stages.ALL)
        for batch in self._batches(chunks):
            self.models.score_again(batch)
        for chunk in chunks:
            for clip in chunk:
                clip.waveforms.clear()
                clip.heard = None

    def _draw(self, chunks: list[Clips], drawn: slice) -> None:
        batches = self._batches(chunks)
        for batch in batches:
            self.models.caption(batch, drawn)
        for batch in batches:
            self.models.score(batch)

    def _batches(self, chunks: list[Clips]) -> list[Clips]:
        return [batch for chunk in chunks for batch in self.models.batches(chunk)]

    def _annotate(self, task: Task, _: Clips, spans: Spans) -> Clips:
        write(self.models, task, self.run(clips_of(self.models.run, task)), spans)
        return []


class DecodeWorker:
    """Placement separate, first pool: a shard's number becomes its clips, decoded."""

    def __init__(self, config: RunConfig, make_meter: metrics.MeterFactory) -> None:
        self.models = WorkerModels(config, make_meter, caption=False, score=False)
        self.hearing = self.models.hearing()

    def __call__(self, row: Row) -> Row:
        return step(row, "decode", self._decode)

    def run(self, clips: Clips) -> Clips:
        """Read and decode clips."""
        return decode(self.models, self.hearing, clips)

    def _decode(self, task: Task, _: Clips, __: Spans) -> Clips:
        return self.run(clips_of(self.models.run, task))


class CaptionWorker:
    """Placement separate, second pool: decoded clips become captioned clips, their tags before."""

    def __init__(self, config: RunConfig, make_meter: metrics.MeterFactory) -> None:
        self.models = WorkerModels(config, make_meter, caption=True, score=False)

    def __call__(self, row: Row) -> Row:
        return step(row, "caption", lambda _, clips, __: self.run(clips))

    def run(self, clips: Clips) -> Clips:
        """Tag and caption decoded clips."""
        with self.models.lock.register() as turn:
            turn.acquire()
            for chunk in stages.chunks(clips):
                self.models.tag(self.models.batches(chunk))
                for batch in self.models.batches(chunk):
                    self.models.caption(batch)
        return clips


class ScoreWorker:
    """Placement separate, last pool: captioned clips are scored and sunk as evidence."""

    def __init__(self, config: RunConfig, make_meter: metrics.MeterFactory) -> None:
        self.models = WorkerModels(config, make_meter, caption=False, score=True)

    def __call__(self, row: Row) -> Row:
        return step(row, "score", self._score)

    def run(self, clips: Clips) -> Clips:
        """Score captioned clips."""
        with self.models.lock.register() as turn:
            turn.acquire()
            for chunk in stages.chunks(clips):
                for batch in self.models.batches(chunk):
                    self.models.score(batch)
                    self.models.score_again(batch)
        return clips

    def _score(self, task: Task, clips: Clips, spans: Spans) -> Clips:
        write(self.models, task, self.run(clips), spans)
        return []


def clips_of(run: RunFolder, task: Task) -> Clips:
    """The planned clips of a task; those that kill their worker have already failed."""
    clips = stages.clips_of(plan.read_plan_shard(run, task.shard))
    for killer in task.crashing_clips:
        clips[killer].failure = crash_failure()
    return clips[task.start : task.stop]


def decode(models: WorkerModels, hearing: stages.Hearing, clips: Clips) -> Clips:
    """Read and decode clips, all of them at once."""
    decoded = [future.result().result() for future in hearing.submit(clips)]
    measure_decoded(models.meter, decoded)
    return decoded


def measure_decoded(to: metrics.Meter, clips: Clips) -> None:
    """Record what reading and decoding these clips took."""
    for clip in clips:
        to.record(metrics.STAGE_SECONDS, clip.read_s, stage="read")
        to.record(metrics.STAGE_SECONDS, clip.decode_s, stage="decode")
        to.record(metrics.READ_BYTES, clip.encoded_bytes)
        for cause, number in clip.faults.items():
            to.record(metrics.RETRIES, number, cause=cause)


def write(models: WorkerModels, task: Task, clips: Clips, spans: Spans) -> None:
    """Sink a shard's evidence, and record how its clips ended; a rehearsal leaves nothing."""
    if task.dry_run:
        return
    with models.timed("write"):
        # The last worker's time with the shard ends with the file that tells of it.
        spans = [*spans[:-1], spans[-1]._replace(ended_s=time.time())]
        counts = evidence.write_evidence_shard(
            models.run, task.shard, stages.evidence(clips), spans, stages.faults(clips)
        )
    for outcome, number in {"ok": counts.ok, **counts.errors}.items():
        models.meter.record(metrics.CLIPS, number, outcome=outcome)


def step(row: Row, pool: str, work: Callable[[Task, Clips, Spans], Clips]) -> Row:
    """Run one pool's work on one task; a task that raises is told to the driver, not lost.

    Between pools its clips travel as one opaque value, which Ray never splits, packed by us and
    unpacked by us inside the cluster, as Ray's own objects are.
    """
    begun_s = time.time()
    task, error = Task.from_json(row["task"]), row.get("error", "")
    spans = [evidence.WorkSpan(*span) for span in json.loads(row.get("spans", "[]"))]
    spans.append(evidence.WorkSpan(pool, WORKER, begun_s, begun_s))
    clips: Clips = []
    if not error:
        try:
            clips = work(task, pickle.loads(row["clips"]) if "clips" in row else [], spans)
        except Exception as raised:
            error = f"{type(raised).__name__}: {raised}"
    spans[-1] = spans[-1]._replace(ended_s=time.time())
    return {
        "task": row["task"],
        "error": error,
        "started_s": spans[0].started_s,
        "ended_s": spans[-1].ended_s,
        "spans": json.dumps(spans),
        "clips": pickle.dumps(clips, protocol=5),
    }
