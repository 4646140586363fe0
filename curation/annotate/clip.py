"""The immutable records that the stages pass on: a planned, a loaded and an annotated clip."""

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
    """A clip as the plan lists it. A clip with a `failure` is not read."""

    clip_id: str
    uri: str | None
    start_s: float | None
    end_s: float | None
    tags: Sequence[Tag]
    failure: Failure | None = None


@dataclass(frozen=True)
class LoadCost:
    """The cost of loading a clip. `faults` is the number of storage faults by kind."""

    encoded_bytes: int = 0
    read_s: float = 0.0
    decode_s: float = 0.0
    faults: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class ClipAudio:
    """The decoded audio of a clip and its measurements.

    A measurement is None if decoding failed before it was taken. `start_s` and `end_s` are the
    bounds of the decoded segment, or of the planned segment if nothing was decoded. `waveforms`
    maps a rate in Hz to int16 mono samples `[samples]`.
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
    """A loaded clip and the results of the stages so far. Each stage returns a new record.

    Attributes:
        planned: the clip as the plan lists it.
        audio: the decoded audio of the clip.
        cost: the time and bytes that loading took.
        tags: the tags of the clip, including predicted tags.
        tag_scores: CLAP score of each tag; None if tags were not verified.
        guidance: the tags given to the captioner.
        features: log-mel features `[frame, mel]`, by front end.
        encoding: the captioner's encoding of the clip, kept between its draws.
        candidates: the captions of the clip, with the scores so far.
        embedding: unit vector `[dim]` of the audio, computed by the scorer.
        agreement: Spearman's correlation of the two scorers' scores over the candidates.
        failure: why the clip has no captions. Later stages skip such a clip.
        second_draw_failure: why the second draw of candidates failed (with `adaptive`); the clip
            keeps the candidates of the first draw.
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
        """Return the number of samples of the audio at `rate_hz`, one of the loaded rates."""
        return len(self.audio.waveforms[rate_hz])

    def waveform(self, rate_hz: int) -> Waveform:
        """Return the audio as float32 `[samples]` at `rate_hz`, one of the loaded rates."""
        return from_int16(self.audio.waveforms[rate_hz])

    def without_audio(self) -> "AnnotatedClip":
        """Return the record without audio, features and encoding, so that their memory is freed."""
        return replace(self, audio=replace(self.audio, waveforms={}), features={}, encoding=None)


def parse_planned_clips(planned: pa.Table) -> list[PlannedClip]:
    """Parse the rows of a plan (CLIP_SCHEMA) into clips. Clips without audio get a failure."""
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
