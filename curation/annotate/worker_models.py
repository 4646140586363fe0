"""What a worker holds of a run's models, and each of them at work on decoded clips."""

import gc
import math
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from curation.annotate import batching, metrics, scoring, stages, tagging
from curation.annotate.model_offload import ModelOffloader, Offloadable
from curation.annotate.priority_lock import PriorityLock
from curation.config.run import RunConfig
from curation.models import run_models
from curation.run.layout import RunFolder

Clips = list[stages.Clip]


class WorkerModels:
    """The models of a worker; one shard at a time has them, by `turns`."""

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
        self._offloader = ModelOffloader(self.offloads)
        # Of the models' memory, by the part that each plays.
        self._limits: defaultdict[str, batching.OomThreshold] = defaultdict(batching.OomThreshold)
        self._verifier = tagging.Verifier(self.adapters.scorer) if config.tags.verify else None
        self._set_threads()
        with _no_collection():
            for model in self._held(caption, score, tag or caption):
                self._offloader.set_up(model)

    def _held(self, caption: bool, score: bool, tag: bool) -> list[Offloadable]:
        """The models of a worker: those that caption, score or tag, or all of them."""
        captioner, scorer, second_scorer, tagger = self.adapters
        held = [
            tagger if tag else None,
            captioner if caption else None,
            scorer if score or (tag and self._verifier) else None,
            second_scorer if score else None,
        ]
        return [model for model in held if model]

    @property
    def offloads(self) -> bool:
        return self.config.annotate.model_memory == "offload"

    def hearing(self) -> stages.Hearing:
        listening = stages.Listening(self.config.audio, self.adapters.sample_rates_hz)
        return stages.Hearing(listening, self.run.storage, self.config.annotate.decode_threads)

    def batches(self, chunk: Clips) -> list[Clips]:
        settings, captioner = self.config.annotate, self.adapters.captioner
        budget_s, rate_hz, most_clips = settings.batch_seconds, captioner.sample_rate_hz, math.inf
        if settings.batch_tokens:
            most_clips = settings.batch_tokens // captioner.max_tokens_per_clip
        return list(batching.cut_batches(chunk, rate_hz, budget_s, most_clips))

    def tag(self, batches: list[Clips]) -> None:
        """Predict tags, then verify them, each where the run's configuration says so."""
        if tagger := self.adapters.tagger:
            keep_given = self.config.tags.use == "both"
            for batch in batches:
                with self._at_work(tagger, "tag"):
                    tagging.tag(tagger, batch, keep_given, self._limits["tagger"])
        if self._verifier:
            for batch in batches:
                with self._at_work(self.adapters.scorer, "tag"):
                    self._verifier.verify(batch, self._limits["scorer"])

    def guide(self, batch: Clips) -> None:
        """Hand clips' tags to the captioner, where it takes any."""
        if self.config.captioner.guidance == "tags":
            verify = self.config.tags.verify
            least = verify.min_score if verify else None
            for clip in batch:
                tagging.guide(clip, self.config.captioner.min_confidence, least)

    def caption(self, batch: Clips, drawn: slice = stages.ALL) -> None:
        self.guide(batch)
        captioner, limit = self.adapters.captioner, self._limits["captioner"]
        with self._at_work(captioner, "caption"):
            stages.write_captions(captioner, batch, self.config.seed, drawn, limit)
        self.meter.record(metrics.BATCH_CLIPS, len(batch))

    def score(self, batch: Clips) -> None:
        with self._at_work(self.adapters.scorer, "score"):
            scoring.score(self.adapters.scorer, batch, self._limits["scorer"])

    def score_again(self, batch: Clips) -> None:
        """Score by the second scorer, where there is one."""
        if second := self.adapters.second_scorer:
            with self._at_work(second, "score"):
                scoring.score_again(second, batch, self._limits["second_scorer"])

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        begun_s = time.perf_counter()
        yield
        self.meter.record(metrics.STAGE_SECONDS, time.perf_counter() - begun_s, stage=stage)

    @contextmanager
    def _at_work(self, model: Offloadable, stage: str) -> Iterator[None]:
        with self.timed(stage):
            self._set_threads()
            self._offloader.activate(model)
            yield

    def _set_threads(self) -> None:
        # OpenMP keeps its thread count per calling thread, and Ray calls from several. Models that
        # do without torch leave it out of the process, which it makes four times as large.
        if torch := sys.modules.get("torch"):
            torch.set_num_threads(self.config.annotate.model_threads)


@contextmanager
def _no_collection() -> Iterator[None]:
    """What models import stays; looking for garbage among it takes a quarter of their start."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
