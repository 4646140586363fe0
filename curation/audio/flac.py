"""FLAC (RFC 9639): the header of the last frame has its position, which gives the length.

If this length equals the length in the file's header, libsndfile decodes the file. If the file's
header has another length or none, FFmpeg counts the frames. In a file of concatenated FLAC files,
each of them is a part with a header of its own.
"""

import io
import re
import struct
from contextlib import suppress
from itertools import pairwise
from typing import NamedTuple

import soundfile

from curation.audio.containers import count_container
from curation.audio.counted import CountedSound, SoundPart, join_parts
from curation.audio.errors import truncated_error
from curation.audio.mpeg_header import skip_tags
from curation.audio.sndfile import SndfileSound, keep_short

# The magic and the head of STREAMINFO, which is the first block of metadata, and perhaps the only.
_BEGINNING = re.compile(rb"fLaC[\x00\x80]\x00\x00\x22")
_MAX_FRAME_BYTES = 2**17  # searched from the end for the last frame
_PROBES = 16
_SYNC = re.compile(rb"\xff[\xf8\xf9]")


class StreamInfo(NamedTuple):
    """The values of the STREAMINFO block. `frames` is 0 if the encoder did not know the length."""

    block_frames: int
    sample_rate_hz: int
    channels: int
    frames: int


def is_flac(data: bytes) -> bool:
    return bool(_BEGINNING.match(data, skip_tags(data, 0)))


def count_flac(data: bytes, name: str) -> CountedSound:
    """Count the audio of a FLAC file, or of several concatenated FLAC files.

    Raises AudioError (`truncated`) if the last frame is incomplete, and av.error.FFmpegError.
    """
    starts = [0] if _is_one_file(data) else [m.start() for m in _BEGINNING.finditer(data)]
    bounds = [0, *starts[1:], len(data)]
    parts = [
        SoundPart(begin, end, _count_part(data[begin:end], name, keep=len(bounds) == 2))
        for begin, end in pairwise(bounds)
    ]
    return join_parts(parts, len(data))


def _count_part(data: bytes, name: str, keep: bool) -> CountedSound:
    """Count one file; with `keep`, a short one is decoded."""
    info = _read_stream_info(data)
    last = _find_last_block(data, info)
    if last and info.frames == last.stop and _begins_at_zero(data, info):
        with suppress(soundfile.LibsndfileError):  # 32 bits
            return _check_last_frame(data, info, name, keep)
    if last and info.frames > last.stop and not _is_whole_block(data[last.position :]):
        reason = f"its last whole block ends before {last.stop / info.sample_rate_hz:.2f} s"
        raise truncated_error(name, info.frames / info.sample_rate_hz, reason)
    return count_container(data, name)


def _begins_at_zero(data: bytes, info: StreamInfo) -> bool:
    """Whether the first block is that of the stream; in a file cut by copying it is a later one.

    libsndfile cannot read those.
    """
    match = _BEGINNING.search(data)
    position, more = (match.start() + 4, True) if match else (0, False)
    while more and position + 4 <= len(data):
        more = data[position] < 0x80
        position += 4 + int.from_bytes(data[position + 1 : position + 4], "big")
    span = _read_frame_header(data[position : position + 16], info)
    return span is None or span.start == 0


def _is_one_file(data: bytes) -> bool:
    """Whether blocks throughout a large file say that it was not joined of several.

    To search all of an hour for the beginnings of others would take 15 times as long as a clip.
    Places in the stream grow where nothing was joined; the last one is checked against the header.
    """
    step = len(data) // _PROBES
    if step < _MAX_FRAME_BYTES:
        return False
    info = _read_stream_info(data)
    ends = [_find_block_end(data, n * step, info) for n in range(1, _PROBES)]
    return info.frames > 0 and all(
        before is not None and after is not None and before < after
        for before, after in pairwise([0, *ends, info.frames])
    )


def _find_block_end(data: bytes, position: int, info: StreamInfo) -> int | None:
    """The place in the stream after the first block that begins after a position."""
    for match in _SYNC.finditer(data, position, position + _MAX_FRAME_BYTES):
        if found := _read_frame_header(data[match.start() : match.start() + 16], info):
            return found.stop
    return None


def _check_last_frame(data: bytes, info: StreamInfo, name: str, keep: bool) -> CountedSound:
    """The sound as libsndfile reads it, if it can read the last sample.

    Raises AudioError (`truncated`), and soundfile.LibsndfileError where it does not open the file.
    """
    with soundfile.SoundFile(io.BytesIO(data)) as sound:
        if keep and (kept := keep_short(sound)):
            return kept
        try:
            sound.seek(info.frames - 1)
            held = len(sound.read(1))
        except soundfile.LibsndfileError:
            held = 0
    if not held:
        duration_s = info.frames / info.sample_rate_hz
        raise truncated_error(name, duration_s, "the rest of its last frame is missing")
    return SndfileSound(info.sample_rate_hz, info.channels, info.frames)


def _read_stream_info(data: bytes) -> StreamInfo:
    match = _BEGINNING.search(data)
    body = data[match.end() : match.end() + 34].ljust(34, b"\0") if match else bytes(34)
    _, block_frames = struct.unpack_from(">HH", body)
    (bits,) = struct.unpack_from(">Q", body, 10)
    return StreamInfo(block_frames, bits >> 44, (bits >> 41 & 7) + 1, bits & (1 << 36) - 1)


class FlacBlock(NamedTuple):
    """A FLAC frame: its byte position in the file, and the number of samples up to its end."""

    position: int
    stop: int


def _find_last_block(data: bytes, info: StreamInfo) -> FlacBlock | None:
    start = max(0, len(data) - _MAX_FRAME_BYTES)
    for match in reversed(list(_SYNC.finditer(data, start))):
        if span := _read_frame_header(data[match.start() : match.start() + 16], info):
            return FlacBlock(match.start(), span.stop)
    return None


def _is_whole_block(block: bytes) -> bool:
    """Whether the block up to the end of the file, or to a tag there, has the right checksum."""
    if block[-128:-125] == b"TAG":
        block = block[:-128]
    value = 0
    for byte in block:
        value = (value << 8 & 0xFFFF) ^ _CRC16[value >> 8 ^ byte]
    return value == 0


def _build_crc16() -> list[int]:
    table = []
    for value in range(256):
        value <<= 8
        for _ in range(8):
            value = value << 1 ^ 0x18005 if value & 0x8000 else value << 1
        table.append(value)
    return table


_CRC16 = _build_crc16()


def _read_frame_header(head: bytes, info: StreamInfo) -> range | None:
    """The samples of a block, by their place in the stream; None if no block begins here."""
    head = head.ljust(16, b"\0")
    if head[2] >> 4 == 0 or head[2] & 15 == 15 or head[3] & 1:
        return None
    number, at = _read_number(head, 4)
    size_code, extra = head[2] >> 4, 0
    if size_code in (6, 7):
        extra = size_code - 5
        size = int.from_bytes(head[at : at + extra], "big") + 1
    elif size_code < 6:
        size = 192 if size_code == 1 else 576 << (size_code - 2)
    else:
        size = 256 << (size_code - 8)
    at += extra + {12: 1, 13: 2, 14: 2}.get(head[2] & 15, 0)
    if number is None or at > 15 or _crc8(head[:at]) != head[at]:
        return None
    start = number if head[1] & 1 else number * info.block_frames
    return range(start, start + size)


def _read_number(head: bytes, at: int) -> tuple[int | None, int]:
    """A frame's number, coded as UTF-8 codes characters, and what follows it."""
    first = head[at]
    if first < 0x80:
        return first, at + 1
    length = 8 - (first ^ 0xFF).bit_length()
    tail = head[at + 1 : at + length]
    if length < 2 or length > 7 or any(byte & 0xC0 != 0x80 for byte in tail):
        return None, at
    number = first & ((1 << (7 - length)) - 1) if length < 7 else 0
    for byte in tail:
        number = number << 6 | byte & 0x3F
    return number, at + length


def _crc8(data: bytes) -> int:
    value = 0
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value << 1 ^ 0x107 if value & 0x80 else value << 1
    return value
