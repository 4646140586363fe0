"""The sample data of AIFF, 8SVX, AU, CAF and W64 files: checks sizes, finds concatenated files."""

import re
import struct

from curation.audio.counted import Patches
from curation.audio.errors import truncated_error
from curation.audio.riff import RiffChunk, iter_chunks, resolve_size

_W64_RIFF = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00"
_W64_DATA = b"data\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a"
_W64_HEADER_BYTES = 24  # which the size of a chunk counts too
_BEGINNINGS = [
    re.compile(rb"FORM....(?:AIFF|AIFC|8SVX|16SV)", re.DOTALL),
    re.compile(rb"\.snd\0\0"),
    re.compile(rb"caff\0[\1\2]"),
    re.compile(re.escape(_W64_RIFF)),
]


def split_sample_files(data: bytes, name: str) -> list[int]:
    """Find the byte positions at which concatenated files begin; a single file gives only 0.

    Raises AudioError (`truncated`) if a file has less data than its header states. libsndfile would
    silently use the data that exists.
    """
    begins = next((each for each in _BEGINNINGS if each.match(data)), None)
    starts = [0]
    while begins and (samples := _find_samples(data, starts[-1])):
        held = len(data) - samples.body
        size = resolve_size(samples.size, held)
        if size is None:
            reason = f"the file holds {held} of the {samples.size} bytes of sound in its header"
            raise truncated_error(name, None, reason)
        following = begins.search(data, samples.body + size)
        if following is None:
            break
        starts.append(following.start())
    return starts


def find_size_patches(data: bytes) -> Patches:
    """The sizes to write into the header of one file, by position; none if they are right.

    A size that is 0 or a placeholder means "to the end of the file".
    """
    if not any(each.match(data) for each in _BEGINNINGS):
        return ()
    samples = _find_samples(data, 0)
    size = len(data) - samples.body if samples else 0
    if samples is None or 0 < samples.size <= size:
        return ()
    if data.startswith(b"FORM"):
        patch = struct.Struct(">I").pack
        return (4, patch(len(data) - 8)), (samples.body - 4, patch(size))
    if data.startswith(b".snd"):
        return ((8, struct.pack(">I", size)),)
    if data.startswith(b"caff"):
        return ((samples.body - 8, struct.pack(">Q", size)),)
    patch = struct.Struct("<Q").pack
    return (16, patch(len(data))), (samples.body - 8, patch(size + _W64_HEADER_BYTES))


def _find_samples(data: bytes, start: int) -> RiffChunk | None:
    """The chunk of samples of the file that begins at `start`; None if there is none."""
    magic = data[start : start + 4]
    if magic == b"FORM":
        chunks = iter_chunks(data, start + 12, ">")
        return next((each for each in chunks if each.name in (b"SSND", b"BODY")), None)
    if magic == b".snd":
        offset, size = struct.unpack(">II", data[start + 4 : start + 12].ljust(8, b"\0"))
        return RiffChunk(magic, start + offset, size)
    if magic == b"caff":
        return _find_long(data, start + 8, struct.Struct(">4sQ"), b"data", 0, 1)
    return _find_long(data, start + 40, struct.Struct("<16sQ"), _W64_DATA, _W64_HEADER_BYTES, 8)


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
