"""Recordings that libsndfile decodes: valid FLAC and Ogg, and uncompressed samples.

In uncompressed AIFF, AU, CAF, W64, VOC and similar files, libsndfile seeks correctly. In compressed
formats except ALAC it cannot seek, or seeks to a wrong place, so these are read from the beginning.
"""

import io
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import soundfile

from curation.audio.counted import CountedSound, DecodedSound, is_short
from curation.audio.errors import truncated_error
from curation.audio.waveform import Waveform

_ALAC_SUBTYPES = {"ALAC_16", "ALAC_20", "ALAC_24", "ALAC_32"}
PLAIN_SUBTYPES = {
    "PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"
}  # fmt: skip
# Decoding starts this much before the segment: Opus wants 80 ms.
_RUN_UP_S = 0.2
_BLOCK_FRAMES = 65536


@dataclass(frozen=True)
class SndfileSound:
    """A whole file in which libsndfile can seek, and the number of frames that libsndfile counts.

    To reach a frame after `last_seek`, libsndfile seeks to `last_seek` and reads on from there.
    """

    sample_rate_hz: int
    channels: int
    frames: int
    last_seek: int | None = None
    begin_s: float = 0.0

    def decode(self, data: bytes, name: str, first: int, last: int) -> Waveform:
        begin = max(0, first - int(_RUN_UP_S * self.sample_rate_hz))
        if self.last_seek is not None:
            begin = min(begin, self.last_seek)
        try:
            with soundfile.SoundFile(io.BytesIO(data)) as sound:
                sound.seek(begin)
                samples = read_mono(sound, last - begin)[first - begin :]
        except soundfile.LibsndfileError as error:
            reason = f"it cannot be read to the end ({error.error_string})"
            raise truncated_error(name, self.frames / self.sample_rate_hz, reason) from error
        if len(samples) < last - first:
            reason = f"its sound ends at {(first + len(samples)) / self.sample_rate_hz:.2f} s"
            raise truncated_error(name, self.frames / self.sample_rate_hz, reason)
        return samples


@dataclass(frozen=True)
class UnseekableSound:
    """A compressed file in which libsndfile cannot seek, so it is read from the beginning."""

    sample_rate_hz: int
    channels: int
    frames: int
    begin_s: float = 0.0

    def decode(self, data: bytes, name: str, first: int, last: int) -> Waveform:
        with soundfile.SoundFile(io.BytesIO(data)) as sound:
            for start in range(0, first, _BLOCK_FRAMES):
                read_mono(sound, min(_BLOCK_FRAMES, first - start))
            return read_mono(sound, last - first)


def read_mono(sound: soundfile.SoundFile, frames: int) -> Waveform:
    """Read the next frames of an open file as float32 `[frames]`, averaged over the channels."""
    samples = sound.read(frames, dtype="float32", always_2d=True)
    return samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1, dtype=np.float32)


def keep_short(sound: soundfile.SoundFile) -> DecodedSound | None:
    """All of an open file that is short; None for a longer one, and if it cannot be decoded."""
    if not is_short(sound.frames, sound.samplerate, sound.channels):
        return None
    with suppress(soundfile.LibsndfileError):
        waveform = read_mono(sound, sound.frames)
        if len(waveform) == sound.frames:
            return DecodedSound(waveform, sound.samplerate, sound.channels)
    return None


def count_by_libsndfile(data: bytes, name: str) -> CountedSound:
    """Count a file with libsndfile; if the number of samples is not known, by decoding the file.

    Raises AudioError (`truncated`), and soundfile.LibsndfileError if the file cannot be opened.
    """
    with soundfile.SoundFile(io.BytesIO(data)) as sound:
        if sound.subtype in PLAIN_SUBTYPES | _ALAC_SUBTYPES:
            if kept := keep_short(sound):
                return kept
            return SndfileSound(sound.samplerate, sound.channels, sound.frames)
    return count_by_reading(data, name)


def count_by_reading(data: bytes, name: str) -> UnseekableSound:
    """Count a compressed file by decoding all of it.

    Raises AudioError (`truncated`) if it cannot be read to the end that its header states.
    """
    frames = 0
    with soundfile.SoundFile(io.BytesIO(data)) as sound:
        stated_s = sound.frames / sound.samplerate
        try:
            while count := len(read_mono(sound, _BLOCK_FRAMES)):
                frames += count
        except soundfile.LibsndfileError as error:
            reason = f"it cannot be read to the end ({error.error_string})"
            raise truncated_error(name, stated_s, reason) from error
        if frames < sound.frames:
            reason = f"its sound ends at {frames / sound.samplerate:.2f} s"
            raise truncated_error(name, stated_s, reason)
        return UnseekableSound(sound.samplerate, sound.channels, frames)
