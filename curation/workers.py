"""The actors of the graph: what a worker holds, and what it does with a shard.

They carry the plain stages of `stages` across a Ray cluster, but know nothing of Ray themselves.
A row is a task (`isolate.Task`) and, between pools, its clips.
"""

import json
import math
import pickle
import sys
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from curation import adapters, batching, meter, plan, sink, stages, storage
from curation.config import RunConfig
from curation.isolate import Task, failure
from curation.parking import Parked, Parking
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
        self.parking = Parking(self.in_turns)
        # Of the models' memory, by the part that each plays.
        self.limits: defaultdict[str, batching.Limit] = defaultdict(batching.Limit)
        self._set_threads()
        if caption:
            self.parking.set_up(self.adapters.captioner)
        if score:
            self.parking.set_up(self.adapters.scorer)

    @property
    def in_turns(self) -> bool:
        return self.config.annotate.models == "in_turns"

    def hearing(self) -> stages.Hearing:
        listening = stages.Listening(self.config.audio, self.adapters.sample_rates_hz)
        return stages.Hearing(listening, self.config.storage, self.config.annotate.decode_threads)

    def batches(self, chunk: Clips) -> list[Clips]:
        settings, captioner = self.config.annotate, self.adapters.captioner
        budget_s, rate_hz, most_clips = settings.batch_seconds, captioner.sample_rate_hz, math.inf
        if settings.batch_tokens:
            most_clips = settings.batch_tokens // captioner.tokens_a_clip
        return list(batching.batches(chunk, rate_hz, budget_s, most_clips))

    def caption(self, batch: Clips, age: int, drawn: slice = stages.ALL) -> None:
        if self.config.captioner.guidance == "tags":
            for clip in batch:
                stages.guide(clip, self.config.captioner.min_confidence)
        captioner = self.adapters.captioner
        with self._turn(age, captioner), self._timed("caption"):
            limit = self.limits["captioner"]
            stages.write_captions(captioner, batch, self.config.seed, drawn, limit)
        self.meter.record(meter.BATCH_CLIPS, len(batch))

    def score(self, batch: Clips, age: int) -> None:
        with self._turn(age, self.adapters.scorer), self._timed("score"):
            stages.score(self.adapters.scorer, batch, self.limits["scorer"])

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
        begun_s = time.perf_counter()
        yield
        self.meter.record(meter.STAGE_SECONDS, time.perf_counter() - begun_s, stage=stage)

    @contextmanager
    def _turn(self, age: int, model: Parked) -> Iterator[None]:
        with self.turns.turn(age):
            # OpenMP keeps its thread count per calling thread, and Ray calls from several.
            self._set_threads()
            self.parking.bring(model)
            yield

    def _set_threads(self) -> None:
        # Models that do without torch leave it out of the process, which it makes four times as
        # large.
        if torch := sys.modules.get("torch"):
            torch.set_num_threads(self.config.annotate.model_threads)


class FusedWorker:
    """Reads, decodes, captions and scores whole shards; sound never leaves the process."""

    def __init__(self, config: RunConfig, make_meter: meter.MakeMeter) -> None:
        self.models = _Models(config, make_meter, caption=True, score=True)
        self.hearing = self.models.hearing()

    def __call__(self, row: Row) -> Row:
        return _step(row, "fused", self._annotate)

    def run(self, clips: Clips) -> Clips:
        """Take clips through all stages."""
        age = self.models.turns.age()
        chunks = stages.decode_ahead(clips, self.hearing)
        if not self.models.in_turns:
            for chunk in chunks:
                self._listen([chunk], age)
            return clips
        # Models that come and go do so once a shard: it is decoded by then, while another shard
        # has the models, and keeps them to its end.
        decoded = list(chunks)
        with self.models.turns.turn(age):
            self._listen(decoded, age)
        return clips

    def _listen(self, chunks: list[Clips], age: int) -> None:
        """Caption and score decoded chunks; draw more for clips that want more."""
        adaptive = self.models.config.adaptive
        for chunk in chunks:
            self.models.measure_decoded(chunk)
        if adaptive:
            self._draw(chunks, age, slice(0, adaptive.first))
            wanting = [stages.below(chunk, adaptive.enough_score) for chunk in chunks]
            self._draw(wanting, age, slice(adaptive.first, None))
        else:
            self._draw(chunks, age, stages.ALL)
        for chunk in chunks:
            for clip in chunk:
                clip.waveforms.clear()

    def _draw(self, chunks: list[Clips], age: int, drawn: slice) -> None:
        batches = [batch for chunk in chunks for batch in self.models.batches(chunk)]
        for batch in batches:
            self.models.caption(batch, age, drawn)
        for batch in batches:
            self.models.score(batch, age)

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
    """Placement separate, second pool: decoded clips become captioned clips."""

    def __init__(self, config: RunConfig, make_meter: meter.MakeMeter) -> None:
        self.models = _Models(config, make_meter, caption=True, score=False)

    def __call__(self, row: Row) -> Row:
        return _step(row, "caption", lambda _, clips, __: self.run(clips))

    def run(self, clips: Clips) -> Clips:
        """Caption decoded clips."""
        age = self.models.turns.age()
        for chunk in stages.chunks(clips):
            for batch in self.models.batches(chunk):
                self.models.caption(batch, age)
        return clips


class ScoreWorker:
    """Placement separate, last pool: captioned clips are scored and sunk as evidence."""

    def __init__(self, config: RunConfig, make_meter: meter.MakeMeter) -> None:
        self.models = _Models(config, make_meter, caption=False, score=True)

    def __call__(self, row: Row) -> Row:
        return _step(row, "score", self._score)

    def run(self, clips: Clips) -> Clips:
        """Score captioned clips."""
        age = self.models.turns.age()
        for chunk in stages.chunks(clips):
            for batch in self.models.batches(chunk):
                self.models.score(batch, age)
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
