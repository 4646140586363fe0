"""Decodes the frames of a container's audio stream, and finds their positions in the recording."""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import av

# Times of packets are rounded to as much as this in ASF; what goes beyond is a gap in the sound.
_JITTER_S = 0.1
# A longer gap is taken for a clock that jumped.
_MAX_GAP_S = 60.0


class UnusableTimesError(Exception):
    """The times of packets jump or are missing, so they do not give positions in the recording."""


class PlacedFrame(NamedTuple):
    """A decoded frame at `position`, with `samples` per channel.

    `frame` is None for a damaged packet.
    """

    position: int
    samples: int
    frame: Any


def iter_placed_frames(
    container: Any, stream: Any, origin_s: float | None, from_s: float = -math.inf
) -> Iterator[PlacedFrame]:
    """Decode a stream from its current place, and yield each frame with its position.

    A position is a number of samples at the rate of the first frame. `origin_s` is the time of
    position 0 on FFmpeg's clock, and a gap in time is a gap in the positions. If `origin_s` is
    None, the positions are counted from 0 and times are not used. Packets before `from_s` on
    FFmpeg's clock are not decoded.

    Raises UnusableTimesError, and av.error.FFmpegError if the container cannot be read further.
    """
    rate, expected = 0, 0
    for packet in container.demux(stream):
        if packet.pts is not None and float(packet.pts * packet.time_base) < from_s:
            continue
        try:
            frames = packet.decode()
        except av.error.InvalidDataError:
            yield PlacedFrame(expected, 0, None)
            continue
        for frame in frames:
            if not frame.samples:
                continue
            position = expected
            if origin_s is not None and (frame.pts is not None or not rate):
                timed = _timed_position(frame, origin_s, rate or frame.sample_rate)
                gap_s = (timed - expected) / frame.sample_rate
                if not rate or gap_s > _JITTER_S:
                    position = timed
                if rate and not -_JITTER_S <= gap_s <= _MAX_GAP_S:
                    raise UnusableTimesError(f"times jump by {gap_s:.2f} s")
            rate = rate or frame.sample_rate
            samples = frame.samples * rate // frame.sample_rate
            yield PlacedFrame(position, samples, frame)
            expected = position + samples


def _timed_position(frame: Any, origin_s: float, rate: int) -> int:
    if frame.pts is None:
        raise UnusableTimesError("packets have no times")
    return round((float(frame.pts * frame.time_base) - origin_s) * rate)
