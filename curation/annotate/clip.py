"""The records of a clip on its way through the stages; all are immutable."""

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
    """A clip as the plan lists it. `failure` says why it is not to be read, where it is not."""

    clip_id: str
    uri: str | None
    start_s: float | None
    end_s: float | None
    tags: Sequence[Tag]
    failure: Failure | None = None


@dataclass(frozen=True)
class LoadCost:
    """What loading a clip took. `faults` counts the faults of storage by kind."""

    encoded_bytes: int = 0
    read_s: float = 0.0
    decode_s: float = 0.0
    faults: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class ClipAudio:
    """A clip's decoded audio and its measurements, as far as decoding got.

    `start_s` and `end_s` are the decoded stretch, that of the plan where nothing was decoded.
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
        tag_scores: CLAP score of each tag; None where tags were not verified.
        guidance: the tags handed to the captioner.
        features: its log-mel features `[frame, mel]`, by front end of the models that take them.
        encoding: what a captioner keeps of the clip between its draws.
        candidates: its captions with their scores, as far as they are scored.
        embedding: unit vector `[dim]` of the audio by the scorer.
        agreement: Spearman's correlation of both scorers over the candidates.
        failure: why it has no captions. Later stages pass over such a clip.
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

    @property
    def clip_id(self) -> str:
        return self.planned.clip_id

    def count_samples(self, rate_hz: int) -> int:
        """Samples of its audio at a rate at which it was loaded."""
        return len(self.audio.waveforms[rate_hz])

    def waveform(self, rate_hz: int) -> Waveform:
        """Its audio as float32 `[samples]` at a rate at which it was loaded."""
        return from_int16(self.audio.waveforms[rate_hz])

    def without_audio(self) -> "AnnotatedClip":
        """The record without what only models need, so that its memory is freed."""
        return replace(self, audio=replace(self.audio, waveforms={}), features={}, encoding=None)


def parse_planned_clips(planned: pa.Table) -> list[PlannedClip]:
    """The clips of a plan's rows (CLIP_SCHEMA); those without audio have failed already."""
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
