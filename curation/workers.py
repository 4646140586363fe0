"""The actors of the graph: what a worker holds, and what it does with a shard.

They carry the plain stages of `stages` across a Ray cluster, but know nothing of Ray themselves.
A row is a task (`isolate.Task`) and, between pools, its clips.
"""

import json
import pickle
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from curation import adapters, meter, plan, scoring, sink, stages, storage, tagging
from curation.captioners.base import Captioner
from curation.config import RunConfig
from curation.isolate import Task, failure
from curation.scorers.base import Scorer
from curation.taggers.base import Tagger
from curation.turns import Turns

Row = dict[str, Any]
Clips = list[stages.Clip]
Spans = list[sink.Span]

# How evidence names this process: nothing of the machine is in it.
WORKER = uuid.uuid4().hex[:12]


class _Models:
    """What a worker holds of a run's models; one shard at a time has them, the eldest first."""

    def __init__(
        self, config: RunConfig, make_meter: meter.MakeMeter, caption: bool, score: bool
    ) -> None:
        self.config = config
        storage.configure(config.storage)
        self.meter = make_meter()
        self.adapters = adapters.build(config)
        self.turns = Turns()
        self._set_threads()
        self.verifier = tagging.Verifier(self.adapters.scorer) if config.tags.verify else None
        for model in self._held(caption, score):
            model.setup()

    def _held(self, caption: bool, score: bool) -> list[Captioner | Scorer | Tagger]:
        """The models of a worker: those that caption, those that score, or all of them."""
        captioner, scorer, second_scorer, tagger = self.adapters
        captions = [tagger, captioner] if caption else []
        scorers = [scorer] if score or (caption and self.verifier) else []
        held = [*captions, *scorers, second_scorer if score else None]
        return [model for model in held if model]

    def hearing(self) -> stages.Hearing:
        listening = stages.Listening(self.config.audio, self.adapters.sample_rates_hz)
        return stages.Hearing(listening, self.config.storage, self.config.annotate.decode_threads)

    def batches(self, chunk: Clips) -> list[Clips]:
        budget_s = self.config.annotate.batch_seconds
        return list(stages.batches(chunk, self.adapters.captioner.sample_rate_hz, budget_s))

    def tag(self, batches: list[Clips]) -> None:
        """Predict tags, then verify them, each where the run's configuration says so."""
        if self.adapters.tagger:
            keep_given = self.config.tags.use == "both"
            for batch in batches:
                with self._timed("tag"):
                    tagging.tag(self.adapters.tagger, batch, keep_given)
        if self.verifier:
            for batch in batches:
                with self._timed("tag"):
                    self.verifier.verify(batch)

    def caption(self, batch: Clips) -> None:
        if self.config.captioner.guidance == "tags":
            verify = self.config.tags.verify
            least = verify.min_score if verify else None
            for clip in batch:
                tagging.guide(clip, self.config.captioner.min_confidence, least)
        with self._timed("caption"):
            stages.write_captions(self.adapters.captioner, batch, self.config.seed)
        self.meter.record(meter.BATCH_CLIPS, len(batch))

    def score(self, batch: Clips) -> None:
        with self._timed("score"):
            scoring.score(self.adapters.scorer, batch)

    def score_again(self, batch: Clips) -> None:
        """Score by the second scorer, where there is one."""
        if self.adapters.second_scorer:
            with self._timed("score"):
                scoring.score_again(self.adapters.second_scorer, batch)

    def measure_decoded(self, clips: Clips) -> None:
        """Record what reading and decoding these clips took."""
        for clip in clips:
            self.meter.record(meter.STAGE_SECONDS, clip.read_s, stage="read")
            self.meter.record(meter.STAGE_SECONDS, clip.decode_s, stage="decode")
            self.meter.record(meter.READ_BYTES, clip.encoded_bytes)
            for cause, number in clip.faults.items():
                self.meter.record(meter.RETRIES, number, cause=cause)

    def clips_of(self, task: Task) -> Clips:
        """The planned clips of a task; those that kill their worker have already failed."""
        clips = stages.clips_of(plan.read_shard(self.config.run, task.shard))
        for killer in task.killers:
            clips[killer].failure = failure()
        return clips[task.start : task.stop]

    def write(self, task: Task, clips: Clips, spans: Spans) -> None:
        """Sink a shard's evidence, and record how its clips ended; a rehearsal leaves nothing."""
        if task.rehearsal:
            return
        with self._timed("write"):
            # The last worker's time with the shard ends with the file that tells of it.
            spans = [*spans[:-1], spans[-1]._replace(ended_s=time.time())]
            counts = sink.write_shard(
                self.config.run, task.shard, stages.evidence(clips), spans, stages.faults(clips)
            )
        for outcome, number in {"ok": counts.ok, **counts.errors}.items():
            self.meter.record(meter.CLIPS, number, outcome=outcome)

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        self._set_threads()
        begun_s = time.perf_counter()
        yield
        self.meter.record(meter.STAGE_SECONDS, time.perf_counter() - begun_s, stage=stage)

    def _set_threads(self) -> None:
        # OpenMP keeps its thread count per calling thread, and Ray calls from several. Models that
        # do without torch leave it out of the process, which it makes four times as large.
        if torch := sys.modules.get("torch"):
            torch.set_num_threads(self.config.annotate.model_threads)


class FusedWorker:
    """Reads, decodes, tags, captions and scores whole shards; sound never leaves the process."""

    def __init__(self, config: RunConfig, make_meter: meter.MakeMeter) -> None:
        self.models = _Models(config, make_meter, caption=True, score=True)
        self.hearing = self.models.hearing()

    def __call__(self, row: Row) -> Row:
        return _step(row, "fused", self._annotate)

    def run(self, clips: Clips) -> Clips:
        """Take clips through all stages."""
        with self.models.turns.join() as turn:
            for chunk in stages.decode_ahead(clips, self.hearing, turn.leave):
                self.models.measure_decoded(chunk)
                turn.take()
                self.models.tag(self.models.batches(chunk))
                for batch in self.models.batches(chunk):
                    self.models.caption(batch)
                    self.models.score(batch)
                    self.models.score_again(batch)
                for clip in chunk:
                    clip.waveforms.clear()
        return clips

    def _annotate(self, task: Task, _: Clips, spans: Spans) -> Clips:
        self.models.write(task, self.run(self.models.clips_of(task)), spans)
        return []


class DecodeWorker:
    """Placement separate, first pool: a shard's number becomes its clips, decoded."""

    def __init__(self, config: RunConfig, make_meter: meter.MakeMeter) -> None:
        self.models = _Models(config, make_meter, caption=False, score=False)
        self.hearing = self.models.hearing()

    def __call__(self, row: Row) -> Row:
        return _step(row, "decode", self._decode)

    def run(self, clips: Clips) -> Clips:
        """Read and decode clips."""
        decoded = [future.result().result() for future in self.hearing.submit(clips)]
        self.models.measure_decoded(decoded)
        return decoded

    def _decode(self, task: Task, _: Clips, __: Spans) -> Clips:
        return self.run(self.models.clips_of(task))


class CaptionWorker:
    """Placement separate, second pool: decoded clips become captioned clips, their tags before."""

    def __init__(self, config: RunConfig, make_meter: meter.MakeMeter) -> None:
        self.models = _Models(config, make_meter, caption=True, score=False)

    def __call__(self, row: Row) -> Row:
        return _step(row, "caption", lambda _, clips, __: self.run(clips))

    def run(self, clips: Clips) -> Clips:
        """Tag and caption decoded clips."""
        with self.models.turns.join() as turn:
            turn.take()
            for chunk in stages.chunks(clips):
                self.models.tag(self.models.batches(chunk))
                for batch in self.models.batches(chunk):
                    self.models.caption(batch)
        return clips


class ScoreWorker:
    """Placement separate, last pool: captioned clips are scored and sunk as evidence."""

    def __init__(self, config: RunConfig, make_meter: meter.MakeMeter) -> None:
        self.models = _Models(config, make_meter, caption=False, score=True)

    def __call__(self, row: Row) -> Row:
        return _step(row, "score", self._score)

    def run(self, clips: Clips) -> Clips:
        """Score captioned clips."""
        with self.models.turns.join() as turn:
            turn.take()
            for chunk in stages.chunks(clips):
                for batch in self.models.batches(chunk):
                    self.models.score(batch)
                    self.models.score_again(batch)
        return clips

    def _score(self, task: Task, clips: Clips, spans: Spans) -> Clips:
        self.models.write(task, self.run(clips), spans)
        return []


def _step(row: Row, pool: str, work: Callable[[Task, Clips, Spans], Clips]) -> Row:
    """Run one pool's work on one task; a task that raises is told to the driver, not lost.

    Between pools its clips travel as one opaque value, which Ray never splits, packed by us and
    unpacked by us inside the cluster, as Ray's own objects are.
    """
    begun_s = time.time()
    task, error = Task.from_json(row["task"]), row.get("error", "")
    spans = [sink.Span(*span) for span in json.loads(row.get("spans", "[]"))]
    spans.append(sink.Span(pool, WORKER, begun_s, begun_s))
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
