"""Parses a Matroska or WebM file (RFC 9559): clusters, concatenated files, truncation.

Blocks are parsed only in clusters of unknown size, which live recordings have. FFmpeg reads the
packets.
"""

from dataclasses import dataclass

from curation.audio.errors import AudioError, truncated_error

EBML_MAGIC = b"\x1aE\xdf\xa3"
_SEGMENT, _CLUSTER, _INFO = 0x18538067, 0x1F43B675, 0x1549A966
_CLUSTER_MAGIC = _CLUSTER.to_bytes(4, "big")
# Timestamp, SilentTracks, Position, PrevSize, SimpleBlock, BlockGroup, EncryptedBlock; Void, CRC.
_IN_CLUSTER = {0xE7, 0x5854, 0xA7, 0xAB, 0xA3, 0xA0, 0xAF, 0xEC, 0xBF}
_TIMESTAMP, _TIMESTAMP_SCALE = 0xE7, 0x2AD7B1
_MAX_STEP_NS = 90_000_000_000  # clusters last up to 33 s
_EBML = int.from_bytes(EBML_MAGIC, "big")


@dataclass(frozen=True)
class MatroskaLayout:
    """Where each concatenated file begins, and the time of the first file's last cluster.

    The time is None if the clock jumps between clusters.
    """

    starts: list[int]
    last_cluster_s: float | None


def read_matroska_layout(data: bytes, name: str) -> MatroskaLayout:
    """Parse the elements of a file.

    Raises AudioError (`truncated`) if the last element is incomplete, or the structure is damaged.
    """
    starts: list[int] = []
    last_ns: int | None = None
    last_cluster: tuple[int, int] | None = None
    position, steady, scale_ns = 0, True, 1_000_000
    while position < len(data):
        element, body, size = _read_head(data, position)
        if element is None:
            if data.find(_CLUSTER_MAGIC, position) >= 0:
                raise _lost_error(name, position)
            break  # what follows the last element is not read by players either
        if body > len(data) or (
            size is not None and element != _SEGMENT and body + size > len(data)
        ):
            reason = f"its last element, at byte {position} of {len(data)}, is cut"
            raise truncated_error(name, None, reason)
        if element == _EBML:
            starts.append(position)
        if element == _INFO and size:
            scale_ns = _read_number(data, body, _TIMESTAMP_SCALE) or scale_ns
        if element == _CLUSTER:
            last_cluster = None if size is None else (body, size)
            if len(starts) == 1:
                before_ns = last_ns
                last_ns = (_read_number(data, body, _TIMESTAMP) or 0) * scale_ns
                steady &= before_ns is None or 0 <= last_ns - before_ns <= _MAX_STEP_NS
        position = body if element == _SEGMENT or size is None else body + size
    if last_cluster:
        _check_cluster(data, name, *last_cluster)
    last_s = None if last_ns is None or not steady else last_ns / 1e9
    return MatroskaLayout(starts or [0], last_s)


def check_clusters(data: bytes, name: str) -> None:
    """Check that the blocks in every cluster follow each other without gaps.

    This takes longer than decoding a clip. Raises AudioError (`truncated`) if a cluster is damaged.
    """
    position = 0
    while position < len(data):
        element, body, size = _read_head(data, position)
        if element is None:
            return
        if element == _CLUSTER and size is not None:
            _check_cluster(data, name, body, size)
        position = body if element == _SEGMENT or size is None else body + size


def _check_cluster(data: bytes, name: str, body: int, size: int) -> None:
    end = body + size
    while body < end:
        element, inner, inner_size = _read_head(data, body)
        if element not in _IN_CLUSTER or inner_size is None or inner + inner_size > end:
            raise _lost_error(name, body)
        body = inner + inner_size


def _lost_error(name: str, position: int) -> AudioError:
    return truncated_error(name, None, f"what begins at byte {position} is no element")


def _read_number(data: bytes, body: int, wanted: int) -> int | None:
    """The number in an element that is one of the first of its parent."""
    for _ in range(8):
        element, inner, size = _read_head(data, body)
        if element is None or size is None:
            break
        if element == wanted:
            return int.from_bytes(data[inner : inner + size], "big")
        body = inner + size
    return None


def _read_head(data: bytes, position: int) -> tuple[int | None, int, int | None]:
    """An element's id, where its body begins, and its size; None for what is not known.

    The id is None if no element begins.
    """
    first = data[position] if position < len(data) else 0
    id_bytes = 9 - first.bit_length()
    if id_bytes > 4:
        return None, position, None
    element = int.from_bytes(data[position : position + id_bytes], "big")
    position += id_bytes
    first = data[position] if position < len(data) else 0
    size_bytes = 9 - first.bit_length()
    if size_bytes > 8:
        return (element, len(data) + 1, None) if position >= len(data) else (None, position, None)
    bits = 7 * size_bytes
    size = int.from_bytes(data[position : position + size_bytes], "big") & ((1 << bits) - 1)
    return element, position + size_bytes, None if size == (1 << bits) - 1 else size
