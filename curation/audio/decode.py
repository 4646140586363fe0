"""Decodes audio files to mono float32 waveforms, and checks that the audio can be used.

The module of a file's format counts the frames, pages or packets of the recording and decodes it.
`formats` finds that module. `catalog.clip_bytes` reads the bytes, and `waveform` resamples.
"""

import hashlib
import math
from dataclasses import dataclass

import numpy as np

from curation.audio.counted_files import counted_files
from curation.audio.errors import AudioError
from curation.audio.segment import SegmentRequest
from curation.audio.waveform import Levels, Waveform


@dataclass(frozen=True, eq=False)
class DecodedAudio:
    """A decoded segment: float32 mono `[samples]` at the file's own rate, nominally in -1..1.

    `start_s` and `end_s` are the bounds of the segment in the file, in seconds.
    """

    waveform: Waveform
    sample_rate_hz: int
    start_s: float
    end_s: float

    @property
    def duration_s(self) -> float:
        return len(self.waveform) / self.sample_rate_hz


def decode_audio(
    data: bytes,
    name: str,
    start_s: float | None,
    end_s: float | None,
    max_duration_s: float,
    sha256: str | None = None,
) -> DecodedAudio:
    """Decode only the segment from `start_s` to `end_s` of a file, averaged over the channels.

    `data` is the content of the file, and `name` is the name of the file in messages. Times are on
    the container's clock, which may start before the audio. If `start_s` or `end_s` is None or
    outside the recording, the beginning or the end of the recording is used. If the segment is
    longer than `max_duration_s`, only its centre of that length is decoded. `sha256` is the hash of
    the content. With a hash, the file is counted once for all of its segments.

    Raises AudioError with one of these types:

    - `empty_file`, `unknown_format`.
    - `truncated`: the file ends early, or cannot be decoded to the end of the segment.
    - `too_short`: the segment is shorter than `segment.MIN_DURATION_S`.
    - `too_long`: the recording is longer than `segment.MAX_RECORDING_S`.
    - `too_large`: the segment decodes to more than `segment.MAX_DECODED_SAMPLES`.
    """
    if not data:
        raise AudioError("empty_file", f"{name} is empty (0 bytes)")
    sound = counted_files.count(data, name, sha256)
    first, last = SegmentRequest(start_s, end_s, max_duration_s).resolve(sound, name)
    waveform, rate = sound.decode(data, name, first, last), sound.sample_rate_hz
    begin_s = sound.begin_s + first / rate
    return DecodedAudio(waveform, rate, begin_s, begin_s + len(waveform) / rate)


def check_audible(decoded: DecodedAudio, levels: Levels, name: str, silence_dbfs: float) -> None:
    """Check by the `levels` from `measure_levels` that decoded audio can be used.

    Raises AudioError: `not_finite` for NaN or infinite samples, `silent` if the peak is below
    `silence_dbfs`.
    """
    # One sample that is not finite makes the RMS so, as may large samples that are.
    bad = 0 if math.isfinite(levels.rms_dbfs) else np.count_nonzero(~np.isfinite(decoded.waveform))
    if bad:
        raise AudioError(
            "not_finite",
            f"{name} holds {bad} samples of {len(decoded.waveform)} that are NaN or infinite",
        )
    if levels.peak_dbfs < silence_dbfs:
        raise AudioError(
            "silent",
            f"{name} is silent from {decoded.start_s:.2f} s to {decoded.end_s:.2f} s: its peak is "
            f"{levels.peak_dbfs:.1f} dBFS, under the limit of {silence_dbfs:.1f} dBFS",
        )


def sha256_hex(data: bytes) -> str:
    """Return the SHA-256 hash of an encoded file's bytes, as `sha256sum` prints it."""
    return hashlib.sha256(data).hexdigest()
