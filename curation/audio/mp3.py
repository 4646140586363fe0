"""MPEG audio: frames are counted one by one, and decoded by FFmpeg from where a stretch begins.

libsndfile is not used: it takes the length from the Xing header, or guesses it from the size of
the file, and stops at the first of several files that were joined. Free format is left to it.
"""

import re
from array import array
from dataclasses import dataclass
from typing import Any

import av
import numpy as np

from curation.audio.counted import CountedSound, SoundPart, join_parts
from curation.audio.errors import truncated_error
from curation.audio.ffmpeg import MonoCollector
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
from curation.audio.waveform import Waveform

# As many frames in a row are taken for sound where what precedes them is not.
_SYNC_FRAMES = 3
_HEAD = re.compile(rb"\xff[\xe2-\xff][\x10-\xef]")
# A frame of layer 3 uses up to this many bytes of those before it, and the two before it overlap.
_RESERVOIR_BYTES, _OVERLAP_FRAMES = 511, 2
_FRAME_OVERHEAD_BYTES = 38  # header, checksum and side information
# A tag may count its own frame, or not; and the last frame may be short of bytes.
_SLACK_FRAMES = 9
_MAX_DAMAGE_S = 0.25


@dataclass(frozen=True, eq=False)
class Mp3Sound:
    """The frames of one encoding.

    `offsets` are where they begin, and where the last one ends. `delay` samples at the beginning
    and `padding` ones at the end are not sound.
    """

    kind: FrameKind
    channels: int
    offsets: np.ndarray[Any, np.dtype[np.int64]]
    lengths: np.ndarray[Any, np.dtype[np.int32]]
    delay: int
    padding: int
    begin_s: float = 0.0

    @property
    def sample_rate_hz(self) -> int:
        return self.kind.sample_rate_hz

    @property
    def frames(self) -> int:
        samples = len(self.offsets) * self.kind.samples
        return max(0, samples - self.delay - self.padding)

    def decode(self, data: bytes, name: str, first: int, last: int) -> Waveform:
        samples = self.kind.samples
        wanted = (first + self.delay) // samples
        stop = -(-(last + self.delay) // samples)
        begin = self._run_up(wanted)
        decoder = av.CodecContext.create(f"mp{self.kind.layer}float", "r")
        collector, damaged = MonoCollector(), 0
        for index in range(begin, stop):
            at = int(self.offsets[index])
            frame = _decode_frame(decoder, data[at : at + int(self.lengths[index])])
            if frame is not None and frame.samples == samples:
                collector.add(frame)
            else:
                collector.add_silence(samples)
                damaged += index >= wanted
        if damaged * samples > _MAX_DAMAGE_S * self.sample_rate_hz:
            reason = f"{damaged} of {stop - wanted} frames cannot be decoded"
            raise truncated_error(name, None, reason)
        skipped = first + self.delay - begin * samples
        return collector.to_waveform()[skipped : skipped + last - first]

    def _run_up(self, index: int) -> int:
        """The first frame to decode so that frame `index` comes out right."""
        begin = max(0, index - _OVERLAP_FRAMES)
        held = 0
        while begin > 0 and held < _RESERVOIR_BYTES:
            begin -= 1
            held += max(0, int(self.lengths[begin]) - _FRAME_OVERHEAD_BYTES)
        return begin


def is_mpeg_audio(data: bytes) -> bool:
    """Whether a file begins with frames, or with a tag that frames should follow."""
    return data.startswith(b"ID3") or _are_frames(data, 0)


def count_mp3(data: bytes, name: str) -> CountedSound | None:
    """Count the frames of a file; None where there are none.

    Files that were joined are parts, each with a tag of its own or another kind of frames. Raises
    AudioError (`truncated`) where the last frame is cut and the tag states more than there are.
    """
    sounds = []
    for run in _find_runs(data):
        head = data[run.offsets[0] : run.offsets[0] + run.lengths[0]]
        tag = read_encoder_tag(head) if run.kind.layer == 3 else None
        skipped = 1 if tag else 0
        if tag:
            _check_whole(tag, run, len(head), name)
        sound = Mp3Sound(
            run.kind,
            1 if head[3] >> 6 == 3 else 2,
            np.asarray(run.offsets[skipped:], np.int64),
            np.asarray(run.lengths[skipped:], np.int32),
            tag.delay if tag else 0,
            tag.padding if tag else 0,
        )
        sounds.append(sound)
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


def _find_runs(data: bytes) -> list[_Run]:
    """Walk from frame to frame; what lies between frames is skipped."""
    runs: list[_Run] = []
    position, size, lookup = _find_first(data), len(data), FRAMES_BY_HEAD.get
    while position < size:
        # The beginning of a run: a tag, another kind of frames, or the file.
        _, kind = FRAMES_BY_HEAD[data[position : position + 3]]
        run = _Run(kind, array("q"), array("q"))
        runs.append(run)
        tag_at = encoder_tag_offset(data[position : position + 4].ljust(4, b"\0"))
        add_offset, add_length = run.offsets.append, run.lengths.append
        while found := lookup(data[position : position + 3]):
            length, found_kind = found
            if found_kind is not kind:
                break
            if position + length > size:
                run.cut = True
                return [each for each in runs if each.offsets]
            if (
                data[position + tag_at : position + tag_at + 4] in ENCODER_TAGS
                or data[position + VBRI_OFFSET : position + VBRI_OFFSET + 4] == b"VBRI"
            ) and run.offsets:
                break
            add_offset(position)
            add_length(length)
            position += length
        else:
            run.cut = 0 < size - position < 3
        position = _find_frames(data, skip_tags(data, position))
    return runs


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
    """A wrong tag is not an error; one that agrees with the file's end being cut is."""
    count, held = len(run.offsets) - 1, run.offsets[-1] + run.lengths[-1] - run.offsets[0]
    if tag.frames is None or tag.frames <= count + _SLACK_FRAMES:
        return
    if run.cut or (tag.bytes is not None and tag.bytes > held + _SLACK_FRAMES * tag_bytes):
        rate, samples = run.kind.sample_rate_hz, run.kind.samples
        reason = f"its frames end at {count * samples / rate:.2f} s"
        raise truncated_error(name, tag.frames * samples / rate, reason)


def _decode_frame(decoder: Any, data: bytes) -> Any:
    """The frame that a packet gives; None where it is damaged."""
    try:
        return next(iter(decoder.decode(av.Packet(data))), None)
    except av.error.FFmpegError:
        return None
