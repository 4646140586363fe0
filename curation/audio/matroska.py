"""The elements of a Matroska or WebM file (RFC 9559): clusters, joined files, and a cut end.

Blocks are walked only in clusters of unknown size, as live recordings have them. Packets are read
by FFmpeg.
"""

from dataclasses import dataclass

from curation.audio.errors import truncated_error

EBML_MAGIC = b"\x1aE\xdf\xa3"
_SEGMENT, _CLUSTER, _INFO = 0x18538067, 0x1F43B675, 0x1549A966
_TIMESTAMP, _TIMESTAMP_SCALE = 0xE7, 0x2AD7B1
_MAX_STEP_NS = 90_000_000_000  # clusters last up to 33 s
_EBML = int.from_bytes(EBML_MAGIC, "big")


@dataclass(frozen=True)
class MatroskaLayout:
    """Where each joined file begins, and the time of the last cluster of the first one.

    The latter is None where the clock jumps between clusters.
    """

    starts: list[int]
    last_cluster_s: float | None


def read_matroska_layout(data: bytes, name: str) -> MatroskaLayout:
    """Walk through the elements. Raises AudioError (`truncated`) where the last one is cut."""
    starts: list[int] = []
    position, scale_ns, last_ns, steady = 0, 1_000_000, None, True
    while position < len(data):
        element, body, size = _read_head(data, position)
        if element is None:
            break  # no element: what follows the last one is not read by players either
        if body > len(data) or (
            size is not None and element != _SEGMENT and body + size > len(data)
        ):
            reason = f"its last element, at byte {position} of {len(data)}, is cut"
            raise truncated_error(name, None, reason)
        if element == _EBML:
            starts.append(position)
        if element == _TIMESTAMP_SCALE and size:
            scale_ns = int.from_bytes(data[body : body + size], "big")
        if element == _CLUSTER and len(starts) == 1:
            before_ns, last_ns = last_ns, _read_cluster_time(data, body, scale_ns, last_ns)
            steady &= before_ns is None or 0 <= (last_ns or 0) - before_ns <= _MAX_STEP_NS
        descend = element in (_SEGMENT, _INFO) or size is None
        position = body if descend else body + (size or 0)
    last_s = None if last_ns is None or not steady else last_ns / 1e9
    return MatroskaLayout(starts or [0], last_s)


def _read_cluster_time(data: bytes, body: int, scale_ns: int, before: int | None) -> int | None:
    """The time of a cluster, which is one of its first elements."""
    for _ in range(3):
        element, inner, size = _read_head(data, body)
        if element is None or size is None:
            break
        if element == _TIMESTAMP:
            return int.from_bytes(data[inner : inner + size], "big") * scale_ns
        body = inner + size
    return before


def _read_head(data: bytes, position: int) -> tuple[int | None, int, int | None]:
    """An element's id, where its body begins, and its size; None for what is not known.

    The id is None where no element begins.
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
