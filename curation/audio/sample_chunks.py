"""Where the samples lie in AIFF, 8SVX, AU, CAF and W64 files, and how many bytes are stated."""

import struct

from curation.audio.riff import RiffChunk, iter_chunks

_W64_RIFF = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00"
_W64_DATA = b"data\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a"


def find_samples(data: bytes) -> RiffChunk | None:
    """The chunk of samples; None in other formats, and where there is none."""
    if data.startswith(b"FORM"):
        return next((c for c in iter_chunks(data, 12, ">") if c.name in (b"SSND", b"BODY")), None)
    if data.startswith(b".snd"):
        offset, size = struct.unpack_from(">II", data.ljust(12, b"\0"), 4)
        return RiffChunk(b".snd", offset, size)
    if data.startswith(b"caff"):
        return _find_long(data, 8, struct.Struct(">4sQ"), b"data", 0, 1)
    if data.startswith(_W64_RIFF):
        return _find_long(data, 40, struct.Struct("<16sQ"), _W64_DATA, 24, 8)
    return None


def _find_long(
    data: bytes, position: int, header: struct.Struct, wanted: bytes, own: int, alignment: int
) -> RiffChunk | None:
    """The chunk of this name, where sizes have 64 bits; they count `own` bytes of the header."""
    while position + header.size <= len(data):
        name, size = header.unpack_from(data, position)
        size -= own
        if name == wanted:
            return RiffChunk(name, position + header.size, size)
        if size < 0:
            return None
        position += header.size + -(-size // alignment) * alignment
    return None
