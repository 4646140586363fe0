"""Models that only wait: what is theirs of a run costs no core, and loading them nothing."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from curation import captioners, scorers
from curation.captioners.base import Candidate
from curation.config import DualEncoderConfig, RunConfig, TagGuidedConfig
from curation.schema import Failure, Tag

RATE_HZ = 8000


def waiting(config: RunConfig, clip_s: float = 0.0) -> RunConfig:
    """A run whose models take `clip_s` seconds a clip, four fifths of it the captioner."""
    return config.model_copy(
        update={
            "captioner": WaitingCaptionerConfig(clip_s=0.8 * clip_s),
            "scorer": WaitingScorerConfig(clip_s=0.2 * clip_s),
        }
    )


class WaitingCaptionerConfig(TagGuidedConfig):
    """Names the captioner that only waits."""

    clip_s: float


class WaitingScorerConfig(DualEncoderConfig):
    """Names the scorer that only waits."""

    clip_s: float


@dataclass(frozen=True)
class WaitingCaptioner:
    """Takes `clip_s` seconds a clip, and writes one caption."""

    clip_s: float
    sample_rate_hz: int = RATE_HZ

    @property
    def identity(self) -> dict[str, str]:
        return {"model": "waiting"}

    def setup(self) -> None:
        pass

    def caption(
        self,
        waveforms: Sequence[np.ndarray],
        guidance: Sequence[Sequence[Tag]],
        seeds: Sequence[int],
    ) -> list[list[Candidate] | Failure]:
        time.sleep(self.clip_s * len(waveforms))
        return [[Candidate("a sound", "beam", -1.0)] for _ in waveforms]


@dataclass(frozen=True)
class WaitingScorer:
    """Takes `clip_s` seconds a clip to embed it; text takes none."""

    clip_s: float
    sample_rate_hz: int = RATE_HZ

    @property
    def identity(self) -> dict[str, str]:
        return {"model": "waiting"}

    def setup(self) -> None:
        pass

    def embed_audio(self, waveforms: Sequence[np.ndarray]) -> list[np.ndarray | Failure]:
        time.sleep(self.clip_s * len(waveforms))
        return [np.eye(1, 128, dtype=np.float32)[0] for _ in waveforms]

    def embed_text(self, captions: Sequence[str]) -> np.ndarray:
        return np.eye(1, 128, dtype=np.float32).repeat(len(captions), axis=0)


@captioners.build.register
def _(config: WaitingCaptionerConfig) -> WaitingCaptioner:
    return WaitingCaptioner(config.clip_s)


@scorers.build.register
def _(config: WaitingScorerConfig) -> WaitingScorer:
    return WaitingScorer(config.clip_s)
