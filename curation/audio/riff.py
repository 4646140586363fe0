"""Reads the chunks of RIFF and related formats, and interprets the stated size of a data chunk.

A program that writes to a pipe cannot go back to write the size, and leaves a placeholder.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

# A size may be this much too high: headers that count themselves, or chunks that were removed.
SIZE_SLACK_BYTES = 1024
# Placeholders: 2 and 4 GiB, less the header or rounded to a block (ffmpeg, sox, arecord, mplayer),
# two billion, and what 64 bits hold.
_NEAR_BYTES = 2**16
_PLACEHOLDERS = (2**31, 2**32, 2_000_000_000, 2**63, 2**64)


class RiffChunk(NamedTuple):
    """A chunk: its name, the byte position of its body, and the size that its header states."""

    name: bytes
    body: int
    size: int


def iter_chunks(data: bytes, position: int, byte_order: str) -> Iterator[RiffChunk]:
    """Yield the chunks from a position. `byte_order` (`<` or `>`) is that of the sizes."""
    header = struct.Struct(f"{byte_order}4sI")
    while position + 8 <= len(data):
        name, size = header.unpack_from(data, position)
        yield RiffChunk(name, position + 8, size)
        position += 8 + size + size % 2


def resolve_size(claimed: int, held: int) -> int | None:
    """Return the number of bytes of samples in a chunk.

    `claimed` is the size that the chunk states, and `held` is the number of bytes that the file has
    after the chunk's header. Returns None if the file is truncated.
    """
    if claimed <= held:
        return claimed
    near = any(abs(claimed - each) <= _NEAR_BYTES for each in _PLACEHOLDERS)
    return held if near or claimed <= held + SIZE_SLACK_BYTES else None
