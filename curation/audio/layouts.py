"""Where the files of a container begin that were joined, and whether the last is cut.

Read from the sizes of boxes, elements, chunks and tags alone, which every reader has to follow;
lengths in headers are not read. `mp4` and `matroska` hold two larger ones.
"""

import struct
from typing import Any

from curation.audio.errors import truncated_error
from curation.audio.matroska import EBML_MAGIC, read_matroska_layout
from curation.audio.mp4 import is_mp4, read_mp4_layout

_ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_DATA = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")


def split_joined_files(data: bytes, name: str) -> list[int]:
    """Where each of the files begins that a container file consists of; mostly at 0 alone.

    Raises AudioError (`truncated`) where the last one is cut.
    """
    if data.startswith(EBML_MAGIC):
        return read_matroska_layout(data, name).starts
    if is_mp4(data):
        return read_mp4_layout(data, name).starts
    if data.startswith(_ASF_HEADER):
        _check_asf(data, name)
    elif data.startswith(b"FLV\x01"):
        _check_flv(data, name)
    elif data.startswith(b"RIFF") and data[8:12] == b"AVI ":
        _check_avi(data, name)
    return [0]


def find_last_packet_s(data: bytes, container: Any, stream: Any, name: str) -> float | None:
    """The time of a stream's last packet by FFmpeg's clock, or of one shortly before it.

    None where the packets have no times, or these go back by more than rounding. What has to read
    all packets leaves `container` at its end.
    """
    if data.startswith(EBML_MAGIC):
        return read_matroska_layout(data, name).last_cluster_s
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


def _check_asf(data: bytes, name: str) -> None:
    """The data object states its size, unless the file was broadcast."""
    position = 0
    while position + 24 <= len(data):
        kind, size = data[position : position + 16], struct.unpack_from("<Q", data, position + 16)
        if kind == _ASF_DATA and size[0] > len(data) - position:
            held = len(data) - position
            raise truncated_error(name, None, f"it holds {held} of the {size[0]} bytes of its data")
        if size[0] < 24:
            return
        position += size[0]


def _check_flv(data: bytes, name: str) -> None:
    """Each tag states its size."""
    position = struct.unpack_from(">I", data.ljust(9, b"\0"), 5)[0] + 4
    while position + 11 <= len(data):
        position += 15 + int.from_bytes(data[position + 1 : position + 4], "big")
    # The size of the last tag is repeated after it, which some writers leave out.
    if position - 4 > len(data):
        raise truncated_error(name, None, "its last tag is cut")


def _check_avi(data: bytes, name: str) -> None:
    """The list of packets states its size; not where the file was written to a pipe."""
    position = 12
    while position + 12 <= len(data):
        kind, size = struct.unpack_from("<4sI", data, position)
        if kind == b"LIST" and data[position + 8 : position + 12] == b"movi":
            held = len(data) - position - 8
            if held < size < 2**31 - 2**16:
                raise truncated_error(
                    name, None, f"it holds {held} of the {size} bytes of its data"
                )
            return
        position += 8 + size + size % 2
