"""Clips as the load stage returns them, without a file."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from curation.annotate.clip import AnnotatedClip, ClipAudio, LoadCost, PlannedClip
from curation.schema import Tag

RATE_HZ = 16000


def loaded_clip(
    clip_id: str, waveforms: dict[int, npt.NDArray[np.int16]], tags: Sequence[Tag] = ()
) -> AnnotatedClip:
    """A clip with these int16 waveforms, by rate in Hz."""
    planned = PlannedClip(clip_id, f"/{clip_id}.wav", None, None, tags)
    return AnnotatedClip(planned, ClipAudio(None, None, waveforms=waveforms), LoadCost(), tags)


def silent_clip(clip_id: str, duration_s: float) -> AnnotatedClip:
    """A clip of digital silence at `RATE_HZ`."""
    return loaded_clip(clip_id, {RATE_HZ: np.zeros(int(duration_s * RATE_HZ), dtype=np.int16)})
