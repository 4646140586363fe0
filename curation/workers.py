"""The actors of the graph: what a worker holds, and what it does with a shard.

They carry the plain stages of `stages` across a Ray cluster, but know nothing of Ray themselves.
A row is a task (`isolate.Task`) and, between pools, its clips.
"""

import pickle
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from curation import captioners, plan, scorers, sink, stages, storage
from curation.config import RunConfig
from curation.isolate import Task, failure

Row = dict[str, Any]
Clips = list[stages.Clip]


class _Models:
    """What a worker holds of a run's models; one thread at a time has them."""

    def __init__(self, config: RunConfig, caption: bool, score: bool) -> None:
        self.config = config
        storage.configure(config.storage)
        self.captioner = captioners.build(config.captioner)
        self.scorer = scorers.build(config.scorer)
        self.lock = threading.Lock()
        torch.set_num_threads(config.annotate.model_threads)
        if caption:
            self.captioner.setup()
        if score:
            self.scorer.setup()

    def hearing(self) -> stages.Hearing:
        rates = {self.captioner.sample_rate_hz, self.scorer.sample_rate_hz}
        listening = stages.Listening(self.config.audio, tuple(sorted(rates)))
        return stages.Hearing(listening, self.config.storage, self.config.annotate.decode_threads)

    def batches(self, chunk: Clips) -> list[Clips]:
        budget_s = self.config.annotate.batch_seconds
        return list(stages.batches(chunk, self.captioner.sample_rate_hz, budget_s))

    def caption(self, batch: Clips) -> None:
        if self.config.captioner.guidance == "tags":
            for clip in batch:
                stages.guide(clip, self.config.captioner.min_confidence)
        with self._model_threads():
            stages.write_captions(self.captioner, batch, self.config.seed)

    def score(self, batch: Clips) -> None:
        with self._model_threads():
            stages.score(self.scorer, batch)

    @contextmanager
    def _model_threads(self) -> Iterator[None]:
        with self.lock:
            # OpenMP keeps its thread count per calling thread, and Ray calls from several.
            torch.set_num_threads(self.config.annotate.model_threads)
            yield


class FusedWorker:
    """Reads, decodes, captions and scores whole shards; sound never leaves the process."""

    def __init__(self, config: RunConfig) -> None:
        self.models = _Models(config, caption=True, score=True)
        self.hearing = self.models.hearing()

    def __call__(self, row: Row) -> Row:
        return _step(row, self._annotate)

    def _annotate(self, task: Task, _: Clips) -> Clips:
        clips = _clips_of(task, self.models.config.run)
        for chunk in stages.decode_ahead(clips, self.hearing):
            for batch in self.models.batches(chunk):
                self.models.caption(batch)
                self.models.score(batch)
            for clip in chunk:
                clip.waveforms.clear()
        _write(task, self.models.config.run, clips)
        return []


class DecodeWorker:
    """Placement separate, first pool: a shard's number becomes its clips, decoded."""

    def __init__(self, config: RunConfig) -> None:
        self.models = _Models(config, caption=False, score=False)
        self.hearing = self.models.hearing()

    def __call__(self, row: Row) -> Row:
        return _step(row, self._decode)

    def _decode(self, task: Task, _: Clips) -> Clips:
        clips = _clips_of(task, self.models.config.run)
        return [future.result().result() for future in self.hearing.submit(clips)]


class CaptionWorker:
    """Placement separate, second pool: decoded clips become captioned clips."""

    def __init__(self, config: RunConfig) -> None:
        self.models = _Models(config, caption=True, score=False)

    def __call__(self, row: Row) -> Row:
        return _step(row, self._caption)

    def _caption(self, _: Task, clips: Clips) -> Clips:
        for chunk in stages.chunks(clips):
            for batch in self.models.batches(chunk):
                self.models.caption(batch)
        return clips


class ScoreWorker:
    """Placement separate, last pool: captioned clips are scored and sunk as evidence."""

    def __init__(self, config: RunConfig) -> None:
        self.models = _Models(config, caption=False, score=True)

    def __call__(self, row: Row) -> Row:
        return _step(row, self._score)

    def _score(self, task: Task, clips: Clips) -> Clips:
        for chunk in stages.chunks(clips):
            for batch in self.models.batches(chunk):
                self.models.score(batch)
        _write(task, self.models.config.run, clips)
        return []


def _clips_of(task: Task, run_uri: str) -> Clips:
    clips = stages.clips_of(plan.read_shard(run_uri, task.shard))
    for killer in task.killers:
        clips[killer].failure = failure()
    return clips[task.start : task.stop]


def _write(task: Task, run_uri: str, clips: Clips) -> None:
    if not task.rehearsal:
        sink.write_shard(run_uri, task.shard, stages.evidence(clips), stages.faults(clips))


def _step(row: Row, work: Callable[[Task, Clips], Clips]) -> Row:
    """Run one pool's work on one task; a task that raises is told to the driver, not lost.

    Between pools its clips travel as one opaque value, which Ray never splits, packed by us and
    unpacked by us inside the cluster, as Ray's own objects are.
    """
    started_s = row.get("started_s", time.time())
    task, error = Task.from_json(row["task"]), row.get("error", "")
    clips: Clips = []
    if not error:
        try:
            clips = work(task, pickle.loads(row["clips"]) if "clips" in row else [])
        except Exception as raised:
            error = f"{type(raised).__name__}: {raised}"
    return {
        "task": row["task"],
        "error": error,
        "started_s": started_s,
        "ended_s": time.time(),
        "clips": pickle.dumps(clips, protocol=5),
    }
