"""WAV: extracts the samples of a segment, and decodes them with a new header.

Therefore a wrong size in the file's header has no effect, and no decoder has to seek. libsndfile
decodes uncompressed samples. FFmpeg decodes blocks of ADPCM and GSM, because libsndfile cannot seek
in them, or seeks to a wrong place. `mp3` decodes MP3 in WAV. `containers` decodes the codecs that
libsndfile does not support. It decodes from the beginning, because FFmpeg would seek by the bytes
per second in the header, which may be wrong.
"""

import io
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import av
import soundfile

from curation.audio.containers import count_container
from curation.audio.counted import CountedSound, JoinedSound, RewrittenSound, SoundPart, join_parts
from curation.audio.errors import AudioError, truncated_error
from curation.audio.ffmpeg import MonoCollector, open_container
from curation.audio.frames import iter_placed_frames
from curation.audio.mp3 import count_mp3
from curation.audio.riff import RiffChunk, iter_chunks, resolve_size
from curation.audio.sndfile import (
    PLAIN_SUBTYPES,
    count_by_reading,
    read_mono,
)
from curation.audio.waveform import Waveform

_WAV_MAGICS = (b"RIFF", b"RIFX", b"RF64", b"BW64")
# Codecs of blocks that are decoded one by one: ADPCM of Microsoft, of IMA, and GSM 6.10.
_BLOCK_CODECS = {0x02, 0x11, 0x31}
_MP3_CODECS = {0x50, 0x55}
# GSM predicts from what it decoded before: decoding starts two seconds before the segment.
_RUN_UP_BLOCKS = 50
_PROBE_UNITS = 24
_MAX_FORMAT_BYTES = 4096


@dataclass(frozen=True)
class WavPart:
    """One WAV within a file: its `fmt ` chunk, and the bounds `begin` and `end` of its samples.

    The bounds are positions in bytes.
    """

    magic: bytes
    format: bytes
    begin: int
    end: int

    @property
    def byte_order(self) -> str:
        return _byte_order(self.magic)

    @property
    def codec(self) -> int:
        (codec,) = struct.unpack_from(f"{self.byte_order}H", self.format)
        return int(codec)

    def unit_bytes(self) -> int:
        """Return the size of a block in bytes, from the `fmt ` chunk."""
        (size,) = struct.unpack_from(f"{self.byte_order}H", self.format, 12)
        return max(1, int(size))

    def extract(self, data: bytes) -> bytes:
        """Build a WAV file of all samples of this part. `data` is the content of the whole file."""
        return self.wrap(data[self.begin : self.end])

    def wrap(self, samples: bytes) -> bytes:
        """Build a WAV file of the given samples in the format of this part."""
        magic = b"RIFX" if self.magic == b"RIFX" else b"RIFF"
        size = struct.Struct(f"{self.byte_order}I").pack
        body = b"WAVEfmt " + size(len(self.format)) + self.format + b"data" + size(len(samples))
        return magic + size(len(body) + len(samples)) + body + samples


@dataclass(frozen=True)
class PlainWavSound:
    """Uncompressed samples. A frame of all channels has `frame_bytes` bytes."""

    part: WavPart
    sample_rate_hz: int
    channels: int
    frame_bytes: int
    begin_s: float = 0.0

    @property
    def frames(self) -> int:
        return (self.part.end - self.part.begin) // self.frame_bytes

    def decode(self, data: bytes, name: str, first: int, last: int) -> Waveform:
        begin = self.part.begin
        samples = data[begin + first * self.frame_bytes : begin + last * self.frame_bytes]
        with soundfile.SoundFile(io.BytesIO(self.part.wrap(samples))) as sound:
            return read_mono(sound, last - first)


@dataclass(frozen=True)
class BlockWavSound:
    """Compressed blocks of equal numbers of frames. The last block may have fewer frames."""

    part: WavPart
    sample_rate_hz: int
    channels: int
    block_frames: int
    frames: int
    begin_s: float = 0.0

    def decode(self, data: bytes, name: str, first: int, last: int) -> Waveform:
        wanted = first // self.block_frames
        begin = max(0, wanted - _RUN_UP_BLOCKS)
        stop = -(-last // self.block_frames)
        size, offset = self.part.unit_bytes(), self.part.begin
        blocks = data[offset + begin * size : min(self.part.end, offset + stop * size)]
        decoded = _decode_by_ffmpeg(self.part.wrap(blocks)).to_waveform()
        skipped = first - begin * self.block_frames
        waveform = decoded[skipped : skipped + last - first]
        if len(waveform) < last - first:
            end_s = (first + len(waveform)) / self.sample_rate_hz
            raise truncated_error(name, None, f"its block at {end_s:.2f} s is damaged")
        return waveform


def is_wav(data: bytes) -> bool:
    return data[:4] in _WAV_MAGICS and data[8:12] == b"WAVE"


def count_wav(data: bytes, name: str) -> CountedSound | None:
    """Count the audio of a WAV file, or of several concatenated WAV files.

    Returns None if there is no data chunk. Raises AudioError (`truncated`) if the file is shorter
    than its header states.
    """
    sounds = [(part, _count_part(part, data, name)) for part in _find_parts(data, name)]
    if len(sounds) == 1 and sounds[0][1] is None:
        return count_container(data, name, timed=False)
    if not sounds or any(sound is None for _, sound in sounds):
        return None
    parts = [SoundPart(0, len(data), sound) for _, sound in sounds if sound]
    return join_parts(parts, len(data))


def _find_parts(data: bytes, name: str) -> list[WavPart]:
    """The samples of each WAV in a file, by the sizes of chunks."""
    parts: list[WavPart] = []
    chunks = _iter_wav_chunks(data)
    magic, format_chunk, long_size = b"", b"", 0
    for chunk in chunks:
        body = data[chunk.body : chunk.body + min(chunk.size, _MAX_FORMAT_BYTES)]
        if chunk.name in _WAV_MAGICS:
            magic = chunk.name
        elif chunk.name == b"ds64":
            (long_size,) = struct.unpack_from("<8xQ", body.ljust(16, b"\0"))
        elif chunk.name == b"fmt ":
            format_chunk = body
        elif chunk.name == b"data" and len(format_chunk) >= 14:
            claimed = long_size if long_size and chunk.size == 0xFFFFFFFF else chunk.size
            held = _resolve_held(data, chunk.body, claimed, magic)
            part = WavPart(magic, format_chunk, chunk.body, chunk.body + (held or 0))
            if held is None:
                raise _cut_error(part, claimed, len(data) - chunk.body, name)
            parts.append(part)
    return parts


def _iter_wav_chunks(data: bytes) -> Iterator[RiffChunk]:
    """The chunks of a WAV, and of those that follow it; each begins with a chunk of its magic."""
    position: int | None = 0
    while position is not None:
        magic, start, position = data[position : position + 4], position + 12, None
        yield RiffChunk(magic, start, 0)
        for chunk in iter_chunks(data, start, _byte_order(magic)):
            if is_wav(data[chunk.body - 8 : chunk.body + 4]):
                position = chunk.body - 8
                break
            yield chunk


def _byte_order(magic: bytes) -> str:
    return ">" if magic == b"RIFX" else "<"


def _resolve_held(data: bytes, body: int, claimed: int, magic: bytes) -> int | None:
    """The bytes of samples; 0 means up to the end, unless chunks follow to there."""
    held = len(data) - body
    if claimed == 0:
        ends = [0, *(c.body + c.size for c in iter_chunks(data, body, _byte_order(magic)))]
        return 0 if len(data) - 1 <= ends[-1] <= len(data) else held
    return resolve_size(claimed, held)


def _cut_error(part: WavPart, claimed: int, held: int, name: str) -> AudioError:
    (bytes_per_s,) = struct.unpack_from(f"{part.byte_order}8xI", part.format)
    seconds = claimed / bytes_per_s if bytes_per_s else None
    reason = f"the file holds {held} of the {claimed} bytes of sound in its header"
    return truncated_error(name, seconds, reason)


def _count_part(part: WavPart, data: bytes, name: str) -> CountedSound | None:
    if part.codec in _MP3_CODECS:
        sound = count_mp3(data[part.begin : part.end], name)
        return sound and JoinedSound((SoundPart(part.begin, part.end, sound),))
    if part.codec in _BLOCK_CODECS:
        return _count_blocks(part, data)
    layout = _probe_layout(part.magic, part.format)
    if layout is None:
        return None
    if layout.frame_bytes is None:
        # libsndfile decodes such samples, for instance G.721, only from their beginning.
        return RewrittenSound(count_by_reading(part.extract(data), name), part.extract)
    return PlainWavSound(part, layout.sample_rate_hz, layout.channels, layout.frame_bytes)


class SampleLayout(NamedTuple):
    """What libsndfile makes of a `fmt ` chunk; `frame_bytes` is None for compressed samples."""

    sample_rate_hz: int
    channels: int
    frame_bytes: int | None


@lru_cache(maxsize=64)
def _probe_layout(magic: bytes, format_chunk: bytes) -> SampleLayout | None:
    """Read a few samples of this format; None if libsndfile cannot. Most files share a format."""
    part = WavPart(magic, format_chunk, 0, 0)
    unit = part.unit_bytes() * _PROBE_UNITS
    try:
        with soundfile.SoundFile(io.BytesIO(part.wrap(bytes(unit)))) as sound:
            if sound.subtype not in PLAIN_SUBTYPES:
                return SampleLayout(sound.samplerate, sound.channels, None)
            if not sound.frames or unit % sound.frames:
                return None
            return SampleLayout(sound.samplerate, sound.channels, unit // sound.frames)
    except soundfile.LibsndfileError:
        return None


def _count_blocks(part: WavPart, data: bytes) -> BlockWavSound | None:
    """Decodes the first block and the last one, which may be short."""
    size = part.unit_bytes()
    whole, rest = divmod(part.end - part.begin, size)
    first = _decode_by_ffmpeg(part.wrap(data[part.begin : min(part.begin + size, part.end)]))
    if not first.frames:
        return None
    frames = whole * first.frames
    if rest:
        frames += _decode_by_ffmpeg(part.wrap(data[part.end - rest : part.end])).frames
    return BlockWavSound(part, first.sample_rate_hz, first.channels, first.frames, frames)


def _decode_by_ffmpeg(wav: bytes) -> MonoCollector:
    """All that can be decoded of a WAV."""
    collector = MonoCollector()
    with suppress(av.error.FFmpegError), open_container(wav) as container:
        for placed in iter_placed_frames(container, container.streams.audio[0], None):
            if placed.frame is not None:
                collector.add(placed.frame)
    return collector
