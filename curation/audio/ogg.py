"""Ogg (RFC 3533): pages are counted, and a chain of streams is read stream by stream.

libsndfile decodes a stream that is as it should be. It stops at the first mark of a stream's end
and at a new stream, and does not know Speex; what has these, gaps, or no mark at its end is decoded
by FFmpeg.
"""

import io
import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

import soundfile

from curation.audio.containers import count_container
from curation.audio.counted import CountedSound, SoundPart, join_parts
from curation.audio.errors import truncated_error
from curation.audio.sndfile import SndfileSound

OGG_MAGIC = b"OggS"
_HEADER = struct.Struct("<4xBBqIIIB")
_BEGINS, _ENDS = 2, 4  # flags of a page
_NO_GRANULE = -1  # of a page on which no packet ends
# A packet holds no more than this: Vorbis has blocks of up to 8192, Opus packets of 120 ms.
_MAX_PACKET_FRAMES = 8192
_ROUNDING_S = 0.001


class OggPage(NamedTuple):
    """A page: where it lies, its header's fields, and the packets that end on it."""

    start: int
    end: int
    flags: int
    granule: int
    serial: int
    sequence: int
    packets: int


def count_ogg(data: bytes, name: str) -> CountedSound:
    """Count an Ogg file, or a chain of several.

    Raises AudioError (`truncated`) where the last page is cut, and av.error.FFmpegError.
    """
    pages = list(_iter_pages(data, name))
    parts = []
    for link in _split_links(pages):
        start, end = link[0].start, link[-1].end
        parts.append(SoundPart(start, end, _count_link(data[start:end], link, name)))
    return join_parts(parts, len(data))


def _iter_pages(data: bytes, name: str) -> Iterator[OggPage]:
    """The pages of a file; what lies between them is skipped."""
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


def _count_link(data: bytes, link: list[OggPage], name: str) -> CountedSound:
    if _is_regular(link):
        with suppress(soundfile.LibsndfileError), soundfile.SoundFile(io.BytesIO(data)) as sound:
            stated_s = _stated_end_s(data, link[-1], sound.samplerate)
            if abs(sound.frames / sound.samplerate - stated_s) < _ROUNDING_S:
                return SndfileSound(sound.samplerate, sound.channels, sound.frames)
    return count_container(data, name)


def _is_regular(link: list[OggPage]) -> bool:
    """One stream without gaps, whose only mark of the end is on its last page.

    Its clock begins with it, and goes no faster than packets can.
    """
    clock = 0
    for index, page in enumerate(link):
        if page.serial != link[0].serial or page.sequence != link[0].sequence + index:
            return False
        if bool(page.flags & _ENDS) != (page is link[-1]):
            return False
        if page.granule != _NO_GRANULE:
            if not clock <= page.granule <= clock + page.packets * _MAX_PACKET_FRAMES:
                return False
            clock = page.granule
    return clock > 0


def _stated_end_s(data: bytes, last: OggPage, sample_rate_hz: int) -> float:
    """The time at which a stream ends by its last page."""
    head = data[28 : 28 + 19]
    if head.startswith(b"OpusHead"):  # counts at 48 kHz, what the decoder drops included
        return (last.granule - int.from_bytes(head[10:12], "little")) / 48000
    return last.granule / sample_rate_hz
