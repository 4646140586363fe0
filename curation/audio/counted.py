"""A recording whose samples are counted and can be decoded: the result of every format's module.

Counting reads the frames, pages or packets of a file once, and stores their positions. Segments are
decoded from these positions. The modules are `wav`, `mp3`, `flac`, `ogg`, and `containers` for the
formats that FFmpeg reads. `formats` chooses the module of a file.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np

from curation.audio.waveform import Waveform, resample

# Shorter recordings are decoded whole when they are counted: a file is then opened once, not twice.
# Longer ones are not, as one clip of them would cost several.
MAX_KEPT_S = 12.0
_MAX_KEPT_SAMPLES = 2**22  # of all channels, as float32: 16 MiB
# Positions in a file, and the bytes to put there.
Patches = tuple[tuple[int, bytes], ...]


class CountedSound(Protocol):
    """The recording in one file, without the content of the file, so that it can be cached.

    `begin_s` is the time of the first sample on the container's clock. `frames` is the number of
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
        """Decode frames `first` to `last` to float32 `[last - first]`, averaged over the channels.

        `data` is the content of the file, and `name` is the name of the file in messages. Raises
        AudioError (`truncated`) if the frames cannot be decoded.
        """
        ...


@dataclass(frozen=True, eq=False)
class DecodedSound:
    """A short recording that is decoded already: its mono `waveform`, of `channels` originally."""

    waveform: Waveform
    sample_rate_hz: int
    channels: int
    begin_s: float = 0.0

    @property
    def frames(self) -> int:
        return len(self.waveform)

    def decode(self, data: bytes, name: str, first: int, last: int) -> Waveform:
        return self.waveform[first:last]


@dataclass(frozen=True)
class RewrittenSound:
    """A recording that is decoded from other bytes than those of its file.

    `rewrite` returns these bytes for the content of the file.
    """

    sound: CountedSound
    rewrite: Callable[[bytes], bytes]

    @property
    def begin_s(self) -> float:
        return self.sound.begin_s

    @property
    def sample_rate_hz(self) -> int:
        return self.sound.sample_rate_hz

    @property
    def channels(self) -> int:
        return self.sound.channels

    @property
    def frames(self) -> int:
        return self.sound.frames

    def decode(self, data: bytes, name: str, first: int, last: int) -> Waveform:
        return self.sound.decode(self.rewrite(data), name, first, last)


@dataclass(frozen=True)
class SoundPart:
    """The bytes `start` to `end` of a file, which are a recording of their own."""

    start: int
    end: int
    sound: CountedSound


@dataclass(frozen=True)
class JoinedSound:
    """Consecutive recordings in one file, resampled to the rate of the first recording."""

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
    """Return the recording in a file of `size` bytes that consists of these parts.

    If one part is the whole file, the recording of that part is returned.
    """
    if len(parts) == 1 and (parts[0].start, parts[0].end) == (0, size):
        return parts[0].sound
    return JoinedSound(tuple(parts))


def patch_sound(sound: CountedSound, patches: Patches) -> CountedSound:
    """Return the recording of a file that is decoded with the bytes at some positions replaced."""
    if not patches:
        return sound
    return RewrittenSound(sound, partial(replace_bytes, patches=patches))


def replace_bytes(data: bytes, patches: Patches) -> bytes:
    """Return a copy of the content with the bytes at some positions replaced."""
    if not patches:
        return data
    replaced = bytearray(data)
    for position, value in patches:
        replaced[position : position + len(value)] = value
    return bytes(replaced)


def is_short(frames: int, sample_rate_hz: int, channels: int) -> bool:
    """Whether a recording is short enough to be decoded whole when it is counted."""
    return frames <= MAX_KEPT_S * sample_rate_hz and frames * channels <= _MAX_KEPT_SAMPLES
