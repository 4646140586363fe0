"""The result of every format's module: a recording whose samples are counted and can be decoded.

Counting reads a file's frames, pages or packets, once for each file; segments are decoded from
these positions. Each container has its module: `wav`, `mp3`, `flac`, `ogg`, and `containers` for
those that FFmpeg reads; `formats` chooses the module.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from curation.audio.waveform import Waveform, resample


class CountedSound(Protocol):
    """The recording in one file, without the file's content; it may be kept for later clips.

    `begin_s` is the time of its first sample on the container's clock; `frames` is the number of
    samples of one channel at `sample_rate_hz`.
    """

    @property
    def begin_s(self) -> float: ...
    @property
    def sample_rate_hz(self) -> int: ...
    @property
    def channels(self) -> int: ...
    @property
    def frames(self) -> int: ...

    def decode(self, data: bytes, name: str, first: int, last: int) -> Waveform:
        """Frames `first` to `last`, channels averaged: float32 `[last - first]`.

        `data` is the file's content, `name` its name in messages. Raises AudioError (`truncated`)
        if they cannot be decoded.
        """
        ...


@dataclass(frozen=True)
class SoundPart:
    """A part of a file that is a recording of its own: bytes `start` to `end`."""

    start: int
    end: int
    sound: CountedSound


@dataclass(frozen=True)
class JoinedSound:
    """Consecutive recordings in one file, at the rate of the first."""

    parts: tuple[SoundPart, ...]
    begin_s: float = 0.0

    @property
    def sample_rate_hz(self) -> int:
        return self.parts[0].sound.sample_rate_hz

    @property
    def channels(self) -> int:
        return max(part.sound.channels for part in self.parts)

    @property
    def frames(self) -> int:
        return sum(self._frames_of(part) for part in self.parts)

    def decode(self, data: bytes, name: str, first: int, last: int) -> Waveform:
        pieces, begin = [], 0
        for part in self.parts:
            frames = self._frames_of(part)
            inside = max(first - begin, 0), min(last - begin, frames)
            if inside[0] < inside[1]:
                pieces.append(self._decode_part(data, name, part, *inside))
            begin += frames
        return np.concatenate(pieces)

    def _decode_part(
        self, data: bytes, name: str, part: SoundPart, first: int, last: int
    ) -> Waveform:
        rate, own_rate = self.sample_rate_hz, part.sound.sample_rate_hz
        content = data[part.start : part.end]
        if own_rate == rate:
            return part.sound.decode(content, name, first, last)
        own_first = first * own_rate // rate
        own_last = min(part.sound.frames, -(-last * own_rate // rate) + 1)
        found = resample(part.sound.decode(content, name, own_first, own_last), own_rate, rate)
        skipped = first - own_first * rate // own_rate
        wanted = found[skipped : skipped + last - first]
        return np.pad(wanted, (0, last - first - len(wanted)))

    def _frames_of(self, part: SoundPart) -> int:
        return part.sound.frames * self.sample_rate_hz // part.sound.sample_rate_hz


def join_parts(parts: list[SoundPart], size: int) -> CountedSound:
    """The recording in a file of `size` bytes; its only part if that is the whole file."""
    if len(parts) == 1 and (parts[0].start, parts[0].end) == (0, size):
        return parts[0].sound
    return JoinedSound(tuple(parts))
