"""Parses the boxes of mp4 files (ISO 14496-12) and related formats: m4a, mov, 3gp.

Only the outermost boxes are read. They show concatenated files, fragments and truncation. The
tables that locate the samples are inside these boxes; FFmpeg reads the tables.
"""

import re
import struct
from dataclasses import dataclass

from curation.audio.errors import truncated_error

_BOX_NAME = re.compile(rb"[\x20-\x7e\xa9]{4}")
_FIRST_BOXES = {b"ftyp", b"styp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot"}


@dataclass(frozen=True)
class Mp4Layout:
    """Where each concatenated file begins, and whether any of the files consists of fragments."""

    starts: list[int]
    fragmented: bool


def is_mp4(data: bytes) -> bool:
    return data[4:8] in _FIRST_BOXES


def read_mp4_layout(data: bytes, name: str) -> Mp4Layout:
    """Parse the boxes of a file. Raises AudioError (`truncated`) if the last box is incomplete."""
    starts, fragmented, tables, position = [0], False, False, 0
    while position + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, position)
        if size == 1 and position + 16 <= len(data):
            (size,) = struct.unpack_from(">Q", data, position + 8)
        elif size == 0:  # up to the end of the file
            size = len(data) - position
        if size < 8 or not _BOX_NAME.fullmatch(kind):
            break  # no box: what follows the last one is not read by players either
        fragmented |= kind == b"moof"
        tables |= kind == b"moov"
        if kind == b"ftyp" and position and tables:
            starts.append(position)
        if position + size > len(data):
            held = len(data) - position
            reason = (
                f"it holds {held} of the {size} bytes of its last box, {kind.decode('latin-1')!r}"
            )
            raise truncated_error(name, None, reason)
        position += size
    return Mp4Layout(starts, fragmented)
