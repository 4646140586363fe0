"""Finds where concatenated files begin in a container file, and whether the last is truncated.

It uses only the sizes of boxes, elements, chunks and tags, which every reader has to follow. It
does not use the lengths in headers. `mp4` and `matroska` parse these two formats.
"""

import struct
from collections.abc import Callable
from typing import Any

from curation.audio.errors import truncated_error
from curation.audio.ffmpeg import seek_to
from curation.audio.matroska import EBML_MAGIC, check_clusters, read_matroska_layout
from curation.audio.mp4 import is_mp4, read_mp4_layout
from curation.audio.riff import resolve_size

_FLV = b"FLV\x01"
_ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_DATA = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")


def split_joined_files(data: bytes, name: str) -> list[int]:
    """Find the byte positions at which concatenated files begin; a single file gives only 0.

    Raises AudioError (`truncated`) if the last file is incomplete.
    """
    for begins, find_starts in _LAYOUTS:
        if begins(data):
            return find_starts(data, name)
    return [0]


def find_last_packet_s(data: bytes, container: Any, stream: Any, name: str) -> float | None:
    """Find the time in seconds of a stream's last packet, on FFmpeg's clock.

    It is None if the packets have no times, or if the times go back by more than a rounding error.
    `container` may be at its end afterwards.
    """
    if data.startswith(EBML_MAGIC):
        last_cluster_s = read_matroska_layout(data, name).last_cluster_s
        if last_cluster_s is None or not seek_to(container, stream, last_cluster_s):
            return None
    if is_mp4(data) and not read_mp4_layout(data, name).fragmented:
        entries = stream.index_entries
        # A number, as an entry is valid while the container is open.
        return float(entries[len(entries) - 1].timestamp * stream.time_base)
    last = None
    for packet in container.demux(stream):
        if packet.pts is None:
            continue
        if last is not None and float((last - packet.pts) * stream.time_base) > 0.1:
            return None
        last = packet.pts
    return None if last is None else float(last * stream.time_base)


def check_gap(data: bytes, name: str) -> None:
    """Check that a gap between packets can be a pause and is not damage that FFmpeg skipped.

    Raises AudioError (`truncated`) if the file is damaged.
    """
    if data.startswith(EBML_MAGIC):
        check_clusters(data, name)


def _split_asf(data: bytes, name: str) -> list[int]:
    """Objects state their size; the one of packets states 0 if the file was broadcast."""
    starts, position = [0], 0
    while position + 24 <= len(data):
        kind, (size,) = (
            data[position : position + 16],
            struct.unpack_from("<Q", data, position + 16),
        )
        if kind == _ASF_HEADER and position:
            starts.append(position)
        if kind == _ASF_DATA and size > len(data) - position:
            held = len(data) - position
            raise truncated_error(name, None, f"it holds {held} of the {size} bytes of its data")
        if size < 24:
            break
        position += size
    return starts


def _split_flv(data: bytes, name: str) -> list[int]:
    """Tags state their size, and repeat it after them, the last one perhaps not."""
    starts, position = [], 0
    while position < len(data):
        head = data[position : position + 11]
        if head.startswith(_FLV):
            starts.append(position)
            position += int.from_bytes(head[5:9], "big") + 4
        else:
            position += int.from_bytes(head[1:4], "big") + 15
            if len(head) < 11 or position - 4 > len(data):
                raise truncated_error(name, None, "its last tag is cut")
    return starts


def _split_avi(data: bytes, name: str) -> list[int]:
    """The lists of packets state their size, if the file was not written to a pipe."""
    starts, position = [], 0
    while position + 12 <= len(data):
        chunk, size, kind = struct.unpack_from("<4sI4s", data, position)
        held = len(data) - position - 8
        if chunk == b"RIFF" and kind == b"AVI ":
            starts.append(position)
        if chunk == b"LIST" and kind == b"movi" and resolve_size(size, held) is None:
            raise truncated_error(name, None, f"it holds {held} of the {size} bytes of its data")
        position += 12 if chunk == b"RIFF" else 8 + size + size % 2
    return starts


def _check_transport_stream(data: bytes, name: str) -> list[int]:
    """Packets have 188 bytes, and on discs four before these."""
    size = 188 if data.startswith(b"G") else 192
    if rest := len(data) % size:
        raise truncated_error(name, None, f"its last packet has {rest} of {size} bytes")
    return [0]


def _is_transport_stream(data: bytes) -> bool:
    return data[: 5 * 188 : 188] == b"GGGGG" or data[4 : 5 * 192 : 192] == b"GGGGG"


_Layout = tuple[Callable[[bytes], bool], Callable[[bytes, str], list[int]]]
_LAYOUTS: list[_Layout] = [
    (lambda data: data.startswith(EBML_MAGIC), lambda *file: read_matroska_layout(*file).starts),
    (is_mp4, lambda *file: read_mp4_layout(*file).starts),
    (lambda data: data.startswith(_ASF_HEADER), _split_asf),
    (lambda data: data.startswith(_FLV), _split_flv),
    (lambda data: data.startswith(b"RIFF") and data[8:12] == b"AVI ", _split_avi),
    (_is_transport_stream, _check_transport_stream),
]
