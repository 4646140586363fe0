"""Stand-ins for models, engines and Ray: each has one fault, limit or fixed answer.

Small real models are in `tests/support/tiny_*.py`, servers beside them.
"""

import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from curation.annotate.clip import AnnotatedClip
from curation.annotate.task import Task, TaskResult, WorkerDeath
from curation.cluster import graph
from curation.config.models import DualEncoderScorerConfig, TagGuidedConfig
from curation.config.run import RunConfig
from curation.models.captioners.base import Candidate
from curation.models.captioners.build import build_captioner
from curation.models.captioners.tag_guided import TagGuidedAdapter
from curation.models.checks.probe_sounds import make_probe_sounds
from curation.models.scorers.build import build_scorer
from curation.models.scorers.dual_encoder import DualEncoderScorer
from curation.schema import Failure, Tag

RATE_HZ = 16000
WAITING_RATE_HZ = 8000
RAY_START_TIMEOUT = "The current node timed out during startup. This could happen because"


class FixedScorer:
    """A scorer with one embedding for every sound, and one for every length of a caption.

    Args:
        sound: the embedding of every sound.
        failing: "first": the first sound of a batch fails; "text": captions raise; any other
            text: the caption whose embedding is not finite.
    """

    sample_rate_hz = RATE_HZ
    identity = {"model": "fixed"}

    def __init__(self, sound: tuple[float, float] = (0.6, 0.8), failing: str = "") -> None:
        self.sound = np.array(sound, np.float32)
        self.failing = failing
        self.embedded = 0

    def setup(self) -> None: ...

    def offload(self) -> None: ...

    def restore(self) -> None: ...

    def embed_audio(self, waveforms: Sequence[np.ndarray]) -> list[np.ndarray | Failure]:
        self.embedded += len(waveforms)
        embeddings: list[np.ndarray | Failure] = [self.sound for _ in waveforms]
        if self.failing == "first":
            embeddings[0] = Failure("score", "odd", "cannot embed this one")
        return embeddings

    def embed_text(self, captions: Sequence[str]) -> np.ndarray:
        if self.failing == "text":
            raise RuntimeError("broken")
        angles = np.array([len(caption) for caption in captions]) * 0.1
        angles[[caption == self.failing for caption in captions]] = np.nan
        return np.stack([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32)


class FailingCaptioner:
    """A captioner that runs out of memory above a batch size, or raises a chosen error."""

    sample_rate_hz = RATE_HZ
    identity = {"model": "writer"}

    def __init__(self, largest_batch: int = 100, fault: Exception | None = None) -> None:
        self.largest_batch = largest_batch
        self.fault = fault
        self.batches: list[int] = []

    def setup(self) -> None: ...

    def caption(
        self, waveforms: list, guidance: list, seeds: list[int], first: int, last: int | None
    ) -> list[list[Candidate] | Failure]:
        self.batches.append(len(waveforms))
        if len(waveforms) > self.largest_batch:
            raise torch.OutOfMemoryError("no memory left")
        if self.fault:
            raise self.fault
        written = [Candidate("again", "sample", -2.0), Candidate("again", "sample", -3.0)]
        return [[Candidate(f"seed {seed}", "beam", -1.0), *written][first:last] for seed in seeds]


class LimitedMemoryModel:
    """Returns the names of clips; its memory holds `room_s` seconds of padded sound."""

    def __init__(self, room_s: float) -> None:
        self.room_s = room_s
        self.tried: list[int] = []

    def __call__(self, batch: list[AnnotatedClip]) -> list[str | Failure]:
        self.tried.append(len(batch))
        longest_s = max(clip.count_samples(RATE_HZ) for clip in batch) / RATE_HZ
        if len(batch) * longest_s > self.room_s:
            raise torch.OutOfMemoryError("no memory left")
        return [clip.clip_id for clip in batch]


class ExclusiveGpu:
    """The models on a GPU, of which one at a time is allowed, and all that were loaded to it."""

    def __init__(self) -> None:
        self.there: list[str] = []
        self.came: list[str] = []

    def enter(self, name: str) -> None:
        self.there.append(name)
        self.came.append(name)
        assert self.there == [name]


GPU = ExclusiveGpu()


class _Watched:
    """Enters the GPU when it is loaded or restored; before an adapter among the base classes."""

    part: str

    def setup(self) -> None:
        super().setup()  # type: ignore[misc]
        GPU.enter(self.part)

    def offload(self) -> None:
        super().offload()  # type: ignore[misc]
        GPU.there.remove(self.part)

    def restore(self) -> None:
        super().restore()  # type: ignore[misc]
        GPU.enter(self.part)


class WatchedCaptioner(_Watched, TagGuidedAdapter):
    """The reference captioner, which must be the only model on the GPU."""

    part = "captioner"

    def caption(self, *arguments: Any) -> Any:
        assert GPU.there == [self.part]
        return super().caption(*arguments)


class WatchedScorer(_Watched, DualEncoderScorer):
    """The reference scorer, which must be the only model on the GPU."""

    part = "scorer"

    def embed_audio(self, waveforms: Any) -> Any:
        assert GPU.there == [self.part]
        return super().embed_audio(waveforms)

    def embed_text(self, captions: Any) -> Any:
        assert GPU.there == [self.part]
        return super().embed_text(captions)


class RandomCropScorer(DualEncoderScorer):
    """Crops each clip at random, as several published CLAP models do."""

    def embed_audio(self, waveforms: Sequence[np.ndarray]) -> list[np.ndarray | Failure]:
        rng = np.random.default_rng()
        return super().embed_audio([clip[rng.integers(len(clip) // 2 + 1) :] for clip in waveforms])


class PaddingSensitiveScorer(DualEncoderScorer):
    """Pads without a mask, so that an embedding depends on the longest clip of its batch."""

    def embed_audio(self, waveforms: Sequence[np.ndarray]) -> list[np.ndarray | Failure]:
        longest = max(map(len, waveforms))
        return super().embed_audio([np.pad(clip, (0, longest - len(clip))) for clip in waveforms])


class DroppingScorer(DualEncoderScorer):
    """Returns no result for a clip that fails, where a `Failure` is expected."""

    def embed_audio(self, waveforms: Sequence[np.ndarray]) -> list[np.ndarray | Failure]:
        embeddings = super().embed_audio(waveforms)
        return [each for each in embeddings if not isinstance(each, Failure)]


class UnseededCaptioner(TagGuidedAdapter):
    """Ignores the seeds of its clips."""

    def caption(
        self,
        waveforms: Sequence[np.ndarray],
        guidance: Sequence[Sequence[Tag]],
        seeds: Sequence[int],
        first: int = 0,
        last: int | None = None,
    ) -> list[list[Candidate] | Failure]:
        fresh = np.random.default_rng().integers(0, 2**31, len(seeds)).tolist()
        return super().caption(waveforms, guidance, fresh, first, last)


class ClapTagger(DualEncoderScorer):
    """A tagger by the reference CLAP: the three classes whose captions score best."""

    def tag(self, waveforms: Sequence[np.ndarray]) -> list[list[Tag] | Failure]:
        known = make_probe_sounds(self.sample_rate_hz)
        texts = self.embed_text([sound.caption for sound in known])
        return [
            each if isinstance(each, Failure) else self.best(texts @ each)
            for each in self.embed_audio(waveforms)
        ]

    def best(self, scores: np.ndarray) -> list[Tag]:
        tags = [sound.tag for sound in make_probe_sounds(self.sample_rate_hz)]
        order = np.argsort(-scores)[:3]
        return [
            Tag(tags[n].mid, tags[n].name, float(scores[n] + 1) / 2, "predicted") for n in order
        ]


class LogitTagger(ClapTagger):
    """Returns logits in place of probabilities."""

    def best(self, scores: np.ndarray) -> list[Tag]:
        return [Tag("/m/06mb1", "Rain", 7.5, "predicted")]


class OtherClassesTagger(ClapTagger):
    """Returns classes that are not AudioSet's."""

    def best(self, scores: np.ndarray) -> list[Tag]:
        return [Tag("LABEL_0", "LABEL_0", 0.5, "predicted")]


class FakeVllmEngine:
    """The used part of vLLM's engine: its texts hold the seed, and loud sounds are refused."""

    def __init__(self, model: str, **arguments: Any) -> None:
        self.calls = 0
        self.arguments = {"model": model, **arguments}

    def generate(self, prompts: list[Any], params: list[Any], use_tqdm: bool) -> list[Any]:
        self.calls += 1
        if any(np.abs(prompt["multi_modal_data"]["audio"][0]).max() > 0.9 for prompt in prompts):
            raise ValueError("too loud")
        return [
            SimpleNamespace(
                outputs=[
                    SimpleNamespace(
                        text=f"a dog barks {one['seed']} times",
                        logprobs=[{5: SimpleNamespace(logprob=-0.5)}],
                    )
                ]
            )
            for one in params
        ]


class CrashingGraph:
    """A graph that yields no result when one of its tasks holds the crashing clip."""

    def __init__(self, crashing_clip: int) -> None:
        self.crashing_clip = crashing_clip
        self.tasks: list[Task] = []

    def __call__(
        self, config: RunConfig, tasks: Sequence[Task], limits: graph.DeathLimits
    ) -> Iterator[Any]:
        self.tasks += tasks
        if not any(self.crashing_clip in list_processed_clips(task) for task in tasks):
            yield from (TaskResult(task, "", 0.0, 1.0) for task in tasks)


class CrashingWorkers:
    """Isolated workers that die of chosen clips, or at chosen attempts.

    Args:
        crashing_clips: positions of the clips of which they die.
        dying_attempts: attempts, counted from 1, at which they die whatever the clips.
    """

    count = 1

    def __init__(
        self, crashing_clips: Collection[int], dying_attempts: Collection[int] = (), groups: int = 8
    ) -> None:
        self.trial_groups = groups
        self.tasks: list[Task] = []
        self.deaths = 0
        self.avoided_nodes: list[str] = []
        self._crashing_clips, self._dying_attempts = set(crashing_clips), set(dying_attempts)

    def attempt(self, task: Task, avoided_node: str = "") -> TaskResult | WorkerDeath:
        self.tasks.append(task)
        self.avoided_nodes.append(avoided_node)
        crashing = self._crashing_clips & list_processed_clips(task)
        if crashing or len(self.tasks) in self._dying_attempts:
            self.deaths += 1
            return WorkerDeath(task, "killed by SIGABRT", node=f"node {self.deaths}")
        return TaskResult(task, "", 0.0, 1.0)


def list_processed_clips(task: Task) -> set[int]:
    """The positions of the clips that a task processes."""
    clips = range(task.clip_count) if task.trial is None else task.trial
    return set(clips) - set(task.crashing_clips)


class FailingRayInit:
    """`ray.init` that fails the first `failures` times, as when daemons start too slowly."""

    def __init__(self, failures: int, message: str = RAY_START_TIMEOUT) -> None:
        self.calls = 0
        self._failures, self._message = failures, message

    def __call__(self, **options: Any) -> None:
        self.calls += 1
        if self.calls <= self._failures:
            raise Exception(self._message)


class WaitingCaptionerConfig(TagGuidedConfig):
    """Configuration of `WaitingCaptioner`."""

    clip_s: float


class WaitingScorerConfig(DualEncoderScorerConfig):
    """Configuration of `WaitingScorer`."""

    clip_s: float


@dataclass(frozen=True)
class _Waiting:
    """The part of an adapter that captioner and scorer share."""

    clip_s: float
    sample_rate_hz: int = WAITING_RATE_HZ

    @property
    def identity(self) -> dict[str, str]:
        return {"model": "waiting"}

    def setup(self) -> None:
        pass

    def offload(self) -> None:
        pass

    def restore(self) -> None:
        pass


class WaitingCaptioner(_Waiting):
    """Sleeps `clip_s` seconds a clip, and writes one caption."""

    def caption(
        self,
        waveforms: Sequence[np.ndarray],
        guidance: Sequence[Sequence[Tag]],
        seeds: Sequence[int],
        first: int = 0,
        last: int | None = None,
    ) -> list[list[Candidate] | Failure]:
        time.sleep(self.clip_s * len(waveforms))
        return [[Candidate("a sound", "beam", -1.0)] for _ in waveforms]


class WaitingScorer(_Waiting):
    """Sleeps `clip_s` seconds for each clip that it embeds; text takes no time."""

    def embed_audio(self, waveforms: Sequence[np.ndarray]) -> list[np.ndarray | Failure]:
        time.sleep(self.clip_s * len(waveforms))
        return [np.eye(1, 128, dtype=np.float32)[0] for _ in waveforms]

    def embed_text(self, captions: Sequence[str]) -> np.ndarray:
        return np.eye(1, 128, dtype=np.float32).repeat(len(captions), axis=0)


@build_captioner.register
def _(config: WaitingCaptionerConfig) -> WaitingCaptioner:
    return WaitingCaptioner(config.clip_s)


@build_scorer.register
def _(config: WaitingScorerConfig) -> WaitingScorer:
    return WaitingScorer(config.clip_s)
