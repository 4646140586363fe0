"""The actors of the graph: what a worker holds, and what it does with a shard.

They carry the plain stages of `stages` across a Ray cluster, but know nothing of Ray themselves.
"""

import pickle
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import torch

from curation import captioners, plan, scorers, sink, stages
from curation.config import RunConfig

Row = dict[str, Any]
Clips = list[stages.Clip]


class _Models:
    """What a worker holds of a run's models; one thread at a time has them."""

    def __init__(self, config: RunConfig, caption: bool, score: bool) -> None:
        self.config = config
        self.captioner = captioners.build(config.captioner)
        self.scorer = scorers.build(config.scorer)
        self.lock = threading.Lock()
        torch.set_num_threads(config.annotate.model_threads)
        if caption:
            self.captioner.setup()
        if score:
            self.scorer.setup()

    @property
    def listening(self) -> stages.Listening:
        rates = {self.captioner.sample_rate_hz, self.scorer.sample_rate_hz}
        return stages.Listening(self.config.audio, tuple(sorted(rates)))

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
        self.threads = ThreadPoolExecutor(config.annotate.decode_threads)

    def __call__(self, row: Row) -> Row:
        return _step(row, self._annotate)

    def _annotate(self, shard: int, _: Clips) -> Clips:
        run_uri = self.models.config.run
        clips = stages.clips_of(plan.read_shard(run_uri, shard))
        for chunk in stages.decode_ahead(clips, self.models.listening, self.threads):
            for batch in self.models.batches(chunk):
                self.models.caption(batch)
                self.models.score(batch)
            for clip in chunk:
                clip.waveforms.clear()
        sink.write_shard(run_uri, shard, stages.evidence(clips))
        return []


class DecodeWorker:
    """Placement separate, first pool: a shard's number becomes its clips, decoded."""

    def __init__(self, config: RunConfig) -> None:
        self.models = _Models(config, caption=False, score=False)
        self.threads = ThreadPoolExecutor(config.annotate.decode_threads)

    def __call__(self, row: Row) -> Row:
        return _step(row, self._decode)

    def _decode(self, shard: int, _: Clips) -> Clips:
        clips = stages.clips_of(plan.read_shard(self.models.config.run, shard))
        return list(self.threads.map(lambda c: stages.decode(c, self.models.listening), clips))


class CaptionWorker:
    """Placement separate, second pool: decoded clips become captioned clips."""

    def __init__(self, config: RunConfig) -> None:
        self.models = _Models(config, caption=True, score=False)

    def __call__(self, row: Row) -> Row:
        return _step(row, self._caption)

    def _caption(self, _: int, clips: Clips) -> Clips:
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

    def _score(self, shard: int, clips: Clips) -> Clips:
        for chunk in stages.chunks(clips):
            for batch in self.models.batches(chunk):
                self.models.score(batch)
        sink.write_shard(self.models.config.run, shard, stages.evidence(clips))
        return []


def _step(row: Row, work: Callable[[int, Clips], Clips]) -> Row:
    """Run one pool's work on one shard; a shard that raises is told to the driver, not lost.

    Between pools its clips travel as one opaque value, which Ray never splits, packed by us and
    unpacked by us inside the cluster, as Ray's own objects are.
    """
    started_s = row.get("started_s", time.time())
    shard, error = int(row["shard"]), row.get("error", "")
    clips: Clips = []
    if not error:
        try:
            clips = work(shard, pickle.loads(row["clips"]) if "clips" in row else [])
        except Exception as raised:
            error = f"{type(raised).__name__}: {raised}"
    return {
        "shard": shard,
        "error": error,
        "started_s": started_s,
        "ended_s": time.time(),
        "clips": pickle.dumps(clips, protocol=5),
    }
