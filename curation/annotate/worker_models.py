"""The models of a worker, and methods that run each stage over chunks of clips."""

import gc
import math
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from curation.annotate import captioning, metrics, scoring, tagging
from curation.annotate.batching import BatchCutter, Chunk, OomThreshold
from curation.annotate.clip import AnnotatedClip
from curation.annotate.load import AudioLoader, DecodeSettings
from curation.annotate.model_offload import ModelOffloader, Offloadable
from curation.annotate.priority_lock import PriorityLock
from curation.config.run import RunConfig
from curation.models import run_models
from curation.run.layout import RunFolder

Chunks = list[Chunk]
BatchStage = Callable[[list[AnnotatedClip]], list[AnnotatedClip]]


class WorkerModels:
    """The models of a worker. Only the shard that holds `lock` may use them.

    The method of a stage takes chunks and returns them with the results of the stage. It measures
    the time of each batch.
    """

    def __init__(
        self,
        config: RunConfig,
        make_meter: metrics.MeterFactory,
        caption: bool,
        score: bool,
        tag: bool = False,
    ) -> None:
        self.config = config
        self.run = RunFolder.from_config(config)
        self.meter = make_meter()
        self.adapters = run_models.build_run_models(config)
        self.lock = PriorityLock()
        self.cutter = _build_cutter(config, self.adapters)
        self._offloader = ModelOffloader(self.offloads)
        # By the part that the model plays.
        self._oom_thresholds: defaultdict[str, OomThreshold] = defaultdict(OomThreshold)
        verify = config.tags.verify
        self._verifier = tagging.TagVerifier(self.adapters.scorer) if verify else None
        self._set_threads()
        with _no_garbage_collection():
            for model in self._select_models(caption, score, tag or caption):
                self._offloader.set_up(model)

    def _select_models(self, caption: bool, score: bool, tag: bool) -> list[Offloadable]:
        """The models of a worker that captions, scores or tags, or does all of it."""
        captioner, scorer, second_scorer, tagger = self.adapters
        models = [
            tagger if tag else None,
            captioner if caption else None,
            scorer if score or (tag and self._verifier) else None,
            second_scorer if score else None,
        ]
        return [model for model in models if model]

    @property
    def offloads(self) -> bool:
        """Whether only one model at a time is on the GPU, with the others in host memory."""
        return self.config.annotate.model_memory == "offload"

    def build_loader(self) -> AudioLoader:
        settings = DecodeSettings(self.config.audio, self.adapters.sample_rates_hz)
        return AudioLoader(settings, self.run.storage, self.config.annotate.decode_threads)

    def record_load_costs(self, clips: Iterable[AnnotatedClip]) -> None:
        """Record the cost of reading and decoding these clips in the metrics."""
        for clip in clips:
            self.meter.record(metrics.STAGE_SECONDS, clip.cost.read_s, stage="read")
            self.meter.record(metrics.STAGE_SECONDS, clip.cost.decode_s, stage="decode")
            self.meter.record(metrics.READ_BYTES, clip.cost.encoded_bytes)
            for cause, number in clip.cost.faults.items():
                self.meter.record(metrics.RETRIES, number, cause=cause)

    def drop_failed(self, chunks: Chunks) -> Chunks:
        """Return the chunks with batches from which failed clips are removed."""
        return [self.cutter.drop_failed(chunk) for chunk in chunks]

    def tag(self, chunks: Chunks) -> Chunks:
        """Predict tags if the run has a tagger."""
        tagger, keep_given = self.adapters.tagger, self.config.tags.use == "both"
        if not tagger:
            return chunks
        threshold = self._oom_thresholds["tagger"]
        return self._run(
            tagger,
            "tag",
            chunks,
            lambda batch: tagging.tag_clips(tagger, batch, keep_given, threshold),
        )

    def verify(self, chunks: Chunks) -> Chunks:
        """Score tags if the run verifies them."""
        verifier, threshold = self._verifier, self._oom_thresholds["scorer"]
        if not verifier:
            return chunks
        return self._run(
            self.adapters.scorer, "tag", chunks, lambda batch: verifier.verify(batch, threshold)
        )

    def add_guidance(self, clips: Iterable[AnnotatedClip]) -> list[AnnotatedClip]:
        """Choose the guiding tags of clips if the captioner takes tags."""
        captioner, verify = self.config.captioner, self.config.tags.verify
        if captioner.guidance != "tags":
            return list(clips)
        min_score = verify.min_score if verify else None
        return [tagging.add_guidance(clip, captioner.min_confidence, min_score) for clip in clips]

    def caption(self, chunks: Chunks, drawn: slice = captioning.ALL_CANDIDATES) -> Chunks:
        """Write the candidates whose indices are in `drawn`, guided by the tags of each clip."""
        captioner, threshold = self.adapters.captioner, self._oom_thresholds["captioner"]

        def caption(batch: list[AnnotatedClip]) -> list[AnnotatedClip]:
            self.meter.record(metrics.BATCH_CLIPS, len(batch))
            return captioning.caption_clips(captioner, batch, self.config.seed, drawn, threshold)

        guided = [chunk.map_batches(self.add_guidance) for chunk in chunks]
        return self._run(captioner, "caption", guided, caption)

    def score(self, chunks: Chunks) -> Chunks:
        """Score the candidates that have no score yet."""
        scorer, threshold = self.adapters.scorer, self._oom_thresholds["scorer"]
        return self._run(
            scorer, "score", chunks, lambda batch: scoring.score_clips(scorer, batch, threshold)
        )

    def score_again(self, chunks: Chunks) -> Chunks:
        """Score with the second scorer if the run has one."""
        second, threshold = self.adapters.second_scorer, self._oom_thresholds["second_scorer"]
        if not second:
            return chunks
        return self._run(
            second,
            "score",
            chunks,
            lambda batch: scoring.score_clips_again(second, batch, threshold),
        )

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Record how many seconds a `with` block takes, as time of a stage."""
        started_s = time.perf_counter()
        yield
        self.meter.record(metrics.STAGE_SECONDS, time.perf_counter() - started_s, stage=stage)

    def _run(self, model: Offloadable, name: str, chunks: Chunks, stage: BatchStage) -> Chunks:
        """Run a stage over the batches of chunks, with its model on the GPU."""

        def timed_stage(batch: list[AnnotatedClip]) -> list[AnnotatedClip]:
            with self.timed(name):
                self._set_threads()
                self._offloader.activate(model)
                return stage(batch)

        return [chunk.map_batches(timed_stage) for chunk in chunks]

    def _set_threads(self) -> None:
        # OpenMP keeps its thread count per calling thread, and Ray calls from several. Models that
        # do without torch leave it out of the process, which it makes four times as large.
        if torch := sys.modules.get("torch"):
            torch.set_num_threads(self.config.annotate.model_threads)


def _build_cutter(config: RunConfig, adapters: run_models.RunModels) -> BatchCutter:
    settings, captioner, max_clips = config.annotate, adapters.captioner, math.inf
    if settings.batch_tokens:
        max_clips = settings.batch_tokens // captioner.max_tokens_per_clip
    return BatchCutter(captioner.sample_rate_hz, config.batch_seconds, max_clips)


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """What models import stays; collecting garbage among it takes a quarter of their start."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
