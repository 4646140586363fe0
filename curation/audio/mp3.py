"""MPEG audio: counts the frames one by one, and decodes with FFmpeg from the start of a segment.

libsndfile is used only for MPEG frames of free format. It takes the length from the Xing header, or
estimates it from the size of the file. It stops at the end of the first of several concatenated
files.
"""

import re
from array import array
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from curation.audio.counted import CountedSound, SoundPart, join_parts
from curation.audio.errors import truncated_error
from curation.audio.mpeg_header import (
    ENCODER_TAGS,
    FRAMES_BY_HEAD,
    VBRI_OFFSET,
    EncoderTag,
    FrameKind,
    encoder_tag_offset,
    read_encoder_tag,
    skip_tags,
)
from curation.audio.packets import PacketSound, check_contiguous

# As many frames in a row are taken for sound where what precedes them is not.
_SYNC_FRAMES = 3
_HEAD = re.compile(rb"\xff[\xe2-\xff][\x10-\xef]")
# A frame of layer 3 uses up to 511 bytes of those before it, each of which holds some more than
# its header and side information; and the two before it overlap.
_RESERVOIR_BYTES, _OVERLAP_FRAMES = 511, 2
_OVERHEAD_BYTES = 38
_MAX_RUN_UP = 40  # at 8 kbit/s
# A tag may count its own frame, or not; and the last frame may be short of bytes.
_SLACK_FRAMES = 9


def is_mpeg_audio(data: bytes) -> bool:
    """Whether a file begins with MPEG frames, or with a tag that MPEG frames usually follow."""
    return data.startswith(b"ID3") or _are_frames(data, 0)


def count_mp3(data: bytes, name: str) -> CountedSound | None:
    """Count the MPEG frames of a file. Returns None if there are none.

    Each of several concatenated files is a part, which begins with a tag or with another kind of
    frames. Raises AudioError (`truncated`) if the last frame is incomplete and the tag states more
    frames than the file has.
    """
    sounds = []
    for run in _find_runs(data):
        head = data[run.offsets[0] : run.offsets[0] + run.lengths[0]]
        tag = read_encoder_tag(head) if run.kind.layer == 3 else None
        skipped = 1 if tag else 0
        if tag:
            _check_whole(tag, run, len(head), name)
        offsets = np.asarray(run.offsets[skipped:], np.int64)
        lengths = np.asarray(run.lengths[skipped:], np.int64)
        packet_s = run.kind.samples / run.kind.sample_rate_hz
        check_contiguous(offsets, lengths, packet_s, name, partial(skip_tags, data))
        sounds.append(
            PacketSound(
                codec=f"mp{run.kind.layer}float",
                sample_rate_hz=run.kind.sample_rate_hz,
                channels=1 if head[3] >> 6 == 3 else 2,
                packet_frames=run.kind.samples,
                offsets=offsets,
                lengths=lengths,
                run_up=_count_run_up(lengths),
                delay=tag.delay if tag else 0,
                padding=tag.padding if tag else 0,
            )
        )
    if not sounds:
        return None
    return join_parts([SoundPart(0, len(data), sound) for sound in sounds], len(data))


@dataclass
class _Run:
    """Frames of one kind, up to the next frame with a tag; `cut` where the last is not whole."""

    kind: FrameKind
    offsets: "array[int]"
    lengths: "array[int]"
    cut: bool = False


def _count_run_up(lengths: Any) -> int:
    """The packets before one that hold all it uses, be they the shortest of the file."""
    held = max(1, int(lengths.min(initial=_RESERVOIR_BYTES)) - _OVERHEAD_BYTES)
    return min(_MAX_RUN_UP, -(-_RESERVOIR_BYTES // held)) + _OVERLAP_FRAMES


def _find_runs(data: bytes) -> list[_Run]:
    """Parse frame by frame; bytes between frames are skipped."""
    runs: list[_Run] = []
    position, size, lookup = _find_first(data), len(data), FRAMES_BY_HEAD.get
    while position < size:
        _, kind = FRAMES_BY_HEAD[data[position : position + 3]]
        tag_at = encoder_tag_offset(data[position : position + 4].ljust(4, b"\0"))
        if not runs or runs[-1].kind is not kind or _is_tag(data, position, tag_at):
            runs.append(_Run(kind, array("q"), array("q")))
        run = runs[-1]
        add_offset, add_length = run.offsets.append, run.lengths.append
        while found := lookup(data[position : position + 3]):
            length, found_kind = found
            run.cut = position + length > size
            if found_kind is not kind or run.cut:
                break
            if run.offsets and _is_tag(data, position, tag_at):
                break
            add_offset(position)
            add_length(length)
            position += length
        run.cut |= 0 < size - position < 3
        position = size if run.cut else _find_frames(data, skip_tags(data, position))
    return [each for each in runs if each.offsets]


def _is_tag(data: bytes, position: int, tag_at: int) -> bool:
    return (
        data[position + tag_at : position + tag_at + 4] in ENCODER_TAGS
        or data[position + VBRI_OFFSET : position + VBRI_OFFSET + 4] == b"VBRI"
    )


def _find_first(data: bytes) -> int:
    """The first frame, after the tags at the beginning unless their size is wrong."""
    after_tags = skip_tags(data, 0)
    first = _find_frames(data, after_tags)
    return _find_frames(data, 0) if first == len(data) and after_tags else first


def _find_frames(data: bytes, position: int) -> int:
    """The next place where frames of one kind follow each other; the file's size without one."""
    for match in _HEAD.finditer(data, position):
        if _are_frames(data, match.start()):
            return match.start()
    return len(data)


def _are_frames(data: bytes, position: int) -> bool:
    kind = None
    for _ in range(_SYNC_FRAMES):
        length, found = FRAMES_BY_HEAD.get(data[position : position + 3], (0, None))
        if found is None or found is not (kind or found):
            return False
        kind, position = found, position + length
        if skip_tags(data, position) == len(data):
            return True
    return True


def _check_whole(tag: EncoderTag, run: _Run, tag_bytes: int, name: str) -> None:
    """A wrong tag is not an error; one that agrees with the file being cut or damaged is."""
    count, held = len(run.offsets) - 1, run.offsets[-1] + run.lengths[-1] - run.offsets[0]
    if tag.frames is None or tag.frames <= count + _SLACK_FRAMES:
        return
    lost = held > sum(run.lengths)
    if run.cut or lost or (tag.bytes is not None and tag.bytes > held + _SLACK_FRAMES * tag_bytes):
        rate, samples = run.kind.sample_rate_hz, run.kind.samples
        reason = f"its frames end at {count * samples / rate:.2f} s"
        raise truncated_error(name, tag.frames * samples / rate, reason)
