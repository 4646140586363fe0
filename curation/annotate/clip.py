"""The immutable records of a clip in the stages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curation.audio.waveform import Levels, Waveform, from_int16
from curation.models.captioners.base import Candidate
from curation.models.log_mel_input import FrontEnd
from curation.schema import Failure, Tag


@dataclass(frozen=True)
class PlannedClip:
    """A clip as the plan lists it. `failure` is set if it must not be read."""

    clip_id: str
    uri: str | None
    start_s: float | None
    end_s: float | None
    tags: Sequence[Tag]
    failure: Failure | None = None


@dataclass(frozen=True)
class LoadCost:
    """The cost of loading a clip. `faults` counts storage faults by kind."""

    encoded_bytes: int = 0
    read_s: float = 0.0
    decode_s: float = 0.0
    faults: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class ClipAudio:
    """A clip's decoded audio and its measurements; None for those that decoding did not reach.

    `start_s` and `end_s` are the decoded segment, or the planned one if nothing was decoded.
    `waveforms` are int16, mono, `[samples]` each, by rate in Hz.
    """

    start_s: float | None
    end_s: float | None
    sha256: str | None = None
    duration_s: float | None = None
    sample_rate_hz: int | None = None
    levels: Levels | None = None
    waveforms: Mapping[int, npt.NDArray[np.int16]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class AnnotatedClip:
    """A loaded clip and the results of the stages so far; each stage returns a new record.

    Attributes:
        planned: the clip as the plan lists it.
        audio: its decoded audio.
        cost: what loading took.
        tags: its tags, predicted ones included.
        tag_scores: CLAP score of each tag; None if tags were not verified.
        guidance: the tags given to the captioner.
        features: log-mel features `[frame, mel]`, by front end.
        encoding: the captioner's encoding of the clip, kept between its draws.
        candidates: its captions, with the scores so far.
        embedding: unit vector `[dim]` of the audio by the scorer.
        agreement: Spearman's correlation of both scorers over the candidates.
        failure: why it has no captions. Later stages skip such a clip.
        second_draw_failure: why it has the candidates of its first draw only (`adaptive`).
    """

    planned: PlannedClip
    audio: ClipAudio
    cost: LoadCost
    tags: Sequence[Tag]
    tag_scores: Sequence[float] | None = None
    guidance: Sequence[Tag] = ()
    features: Mapping[FrontEnd, np.ndarray] = field(default_factory=dict)
    encoding: Any = None
    candidates: Sequence[Candidate] = ()
    embedding: np.ndarray | None = None
    agreement: float | None = None
    failure: Failure | None = None
    second_draw_failure: Failure | None = None

    @property
    def clip_id(self) -> str:
        return self.planned.clip_id

    def count_samples(self, rate_hz: int) -> int:
        """Number of samples of the audio at one of the loaded rates."""
        return len(self.audio.waveforms[rate_hz])

    def waveform(self, rate_hz: int) -> Waveform:
        """The audio as float32 `[samples]` at one of the loaded rates."""
        return from_int16(self.audio.waveforms[rate_hz])

    def without_audio(self) -> "AnnotatedClip":
        """The record without audio, features and encoding, so that their memory is freed."""
        return replace(self, audio=replace(self.audio, waveforms={}), features={}, encoding=None)


def parse_planned_clips(planned: pa.Table) -> list[PlannedClip]:
    """The clips of a plan's rows (CLIP_SCHEMA). Clips without audio are marked as failed."""
    missing = Failure("catalog", "missing", "listed in the catalog, but its audio was not found")
    return [
        PlannedClip(
            clip_id=row["clip_id"],
            uri=row["uri"],
            start_s=row["start_s"],
            end_s=row["end_s"],
            tags=[Tag(**tag) for tag in row["tags"]],
            failure=missing if row["uri"] is None else None,
        )
        for row in planned.to_pylist()
    ]
