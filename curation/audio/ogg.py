"""Ogg (RFC 3533): counts pages, and reads a chain of streams one stream at a time.

libsndfile decodes the streams. It stops at the first end mark of a stream, and requires an end mark
at the end. Therefore the end marks are corrected in the copy that libsndfile reads. FFmpeg decodes
what libsndfile does not support: Speex, several streams at the same time, and streams whose
timestamps do not begin with the stream.
"""

import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from typing import NamedTuple

import soundfile

from curation.audio.containers import count_container
from curation.audio.counted import (
    CountedSound,
    Patches,
    SoundPart,
    join_parts,
    patch_sound,
    replace_bytes,
)
from curation.audio.errors import truncated_error
from curation.audio.sndfile import SndfileSound, keep_short

OGG_MAGIC = b"OggS"
_HEADER = struct.Struct("<4xBBqIIIB")
_CONTINUES, _BEGINS, _ENDS = 1, 2, 4  # flags of a page
_NO_GRANULE = -1  # of a page on which no packet ends
# A packet holds no more than this: Vorbis has blocks of up to 8192, Opus packets of 120 ms.
_MAX_PACKET_FRAMES = 8192
_ROUNDING_S = 0.001
_REVERSED_BITS = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


class OggPage(NamedTuple):
    """A page: its position in the file, its header's fields, and the packets that end on it."""

    start: int
    end: int
    flags: int
    granule: int
    serial: int
    sequence: int
    packets: int


def count_ogg(data: bytes, name: str) -> CountedSound:
    """Count the audio of an Ogg file, or of several concatenated Ogg files.

    Raises AudioError (`truncated`) if the last page is incomplete, and av.error.FFmpegError.
    """
    pages = list(_iter_pages(data, name))
    if not pages[-1].flags & _ENDS and pages[-1].end < len(data):
        reason = f"the {len(data) - pages[-1].end} bytes after its last page are no page"
        raise truncated_error(name, None, reason)
    parts = []
    for link in _split_links(pages):
        start, end = link[0].start, link[-1].end
        sound = _count_link(data[start:end], link, name, keep=end - start == len(data))
        parts.append(SoundPart(start, end, sound))
    return join_parts(parts, len(data))


def _iter_pages(data: bytes, name: str) -> Iterator[OggPage]:
    """The pages of a file; bytes between them are skipped."""
    position = 0
    while True:
        after, position = position, data.find(OGG_MAGIC, position)
        if position < 0 and not OGG_MAGIC.startswith(data[after:] or b"-"):
            return
        if position < 0:
            position = after  # the file ends within the magic of a page
        end = position + 27
        if end <= len(data):
            _, flags, granule, serial, sequence, _, count = _HEADER.unpack_from(data, position)
            sizes = data[end : end + count]
            end += count + sum(sizes)
        if end > len(data):
            reason = f"its last page, at byte {position} of {len(data)}, is cut"
            raise truncated_error(name, None, reason)
        packets = count - sizes.count(255)
        yield OggPage(position, end, flags, granule, serial, sequence, packets)
        position = end


def _split_links(pages: list[OggPage]) -> list[list[OggPage]]:
    """The links of a chain: each begins where streams begin after others went on."""
    links: list[list[OggPage]] = []
    for before, page in zip([None, *pages], pages, strict=False):
        if before is None or (page.flags & _BEGINS and not before.flags & _BEGINS):
            links.append([])
        links[-1].append(page)
    return links


def _count_link(data: bytes, link: list[OggPage], name: str, keep: bool) -> CountedSound:
    """Count one link of a chain; with `keep`, a short one is decoded."""
    _check_sequence(link, name)
    if _is_regular(link) and not _is_trimmed_at_start(data, link):
        marks = _find_marks(data, link)
        marked = replace_bytes(data, marks)
        with suppress(soundfile.LibsndfileError), soundfile.SoundFile(io.BytesIO(marked)) as sound:
            rate = sound.samplerate
            if abs(sound.frames / rate - _page_end_s(data, link[-1], rate)) < _ROUNDING_S:
                if keep and (kept := keep_short(sound)):
                    return kept
                # Within the last page, whose end is trimmed, libsndfile seeks wrongly by the trim.
                before = max(link[:-1] or link, key=lambda page: page.granule)
                last_seek = max(0, int(_page_end_s(data, before, rate) * rate))
                found = SndfileSound(rate, sound.channels, sound.frames, last_seek)
                return patch_sound(found, marks)
    _check_checksums(data, link, name)
    return count_container(data, name)


def _check_sequence(link: list[OggPage], name: str) -> None:
    """A page that is missing is sound that is missing. Some writers do not count at all."""
    expected: dict[int, int] = {}
    for page in link:
        wanted = expected.setdefault(page.serial, page.sequence)
        if page.sequence > wanted:
            raise truncated_error(name, None, f"page {wanted} of stream {page.serial} is missing")
        expected[page.serial] = page.sequence + 1


def _is_regular(link: list[OggPage]) -> bool:
    """One stream, whose clock begins with it and goes no faster than packets can."""
    clock = 0
    for page in link:
        if page.serial != link[0].serial:
            return False
        if page.granule != _NO_GRANULE:
            if not clock <= page.granule <= clock + page.packets * _MAX_PACKET_FRAMES:
                return False
            clock = page.granule
    return clock > 0


def _is_trimmed_at_start(data: bytes, link: list[OggPage]) -> bool:
    """Whether the first page of Vorbis holds more than its time says, as in a file cut by copying.

    libsndfile plays from the first sample nevertheless, and drops as much at the end. Blocks of
    mode 1 are taken for the long ones, as in all known encoders; FFmpeg has the last word.
    """
    if data[28:35] != b"\1vorbis":
        return False
    page = next(each for each in link if each.granule > 0)
    if page is link[-1] or page.flags & _CONTINUES:
        return False
    body = page.start - link[0].start + 27
    lacing = data[body : body + data[body - 1]]
    sizes = (1 << (data[56] & 15), 1 << (data[56] >> 4))
    blocks, position, begins = [], body + len(lacing), True
    for length in lacing:
        if begins and length:
            blocks.append(sizes[data[position] >> 1 & 1])
        begins, position = length < 255, position + length
    blocks = blocks[: page.packets]
    return sum(before + after for before, after in pairwise(blocks)) // 4 > page.granule


def _find_marks(data: bytes, link: list[OggPage]) -> Patches:
    """What has to be replaced so that the last page, and no other, marks the end of the stream."""
    marks = []
    start = link[0].start
    for page in link:
        if bool(page.flags & _ENDS) != (page is link[-1]):
            begin, end = page.start - start, page.end - start
            flags = bytes([page.flags ^ _ENDS])
            marked = data[begin : begin + 5] + flags + data[begin + 6 : end]
            marks += [(begin + 5, flags), (begin + 22, _checksum(marked))]
    return tuple(marks)


def _check_checksums(data: bytes, link: list[OggPage], name: str) -> None:
    """What decoders pass over in silence. Not for all files, as it takes longer than a clip."""
    for page in link:
        content = data[page.start - link[0].start : page.end - link[0].start]
        if content[22:26] != _checksum(content):
            raise truncated_error(name, None, f"its page at byte {page.start} is damaged")


def _checksum(page: bytes) -> bytes:
    """CRC-32 of a page, with the bits of zlib's in the other order and without its inversion."""
    page = page[:22] + bytes(4) + page[26:]
    value = zlib.crc32(page.translate(_REVERSED_BITS), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return value.to_bytes(4, "big").translate(_REVERSED_BITS)


def _page_end_s(data: bytes, page: OggPage, sample_rate_hz: int) -> float:
    """The time at which a page's sound ends."""
    head = data[28 : 28 + 19]
    if head.startswith(b"OpusHead"):  # counts at 48 kHz, what the decoder drops included
        return (page.granule - int.from_bytes(head[10:12], "little")) / 48000
    return page.granule / sample_rate_hz
