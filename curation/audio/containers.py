"""Audio in containers that FFmpeg reads: mp4, Matroska, ASF, AVI, raw AAC, WavPack and others.

A short recording is decoded completely when it is counted. For a long recording, the beginning and
the end are decoded, and the packets between them are counted. If the packets have no usable times,
a long recording is decoded completely once. Positions are relative to the container's time zero, as
in `ffmpeg -ss`.
"""

from dataclasses import dataclass, replace
from typing import Any

import av

from curation.audio.counted import (
    MAX_KEPT_S,
    CountedSound,
    SoundPart,
    is_short,
    join_parts,
)
from curation.audio.errors import AudioError, truncated_error
from curation.audio.ffmpeg import MonoCollector, choose_audio_stream, open_container, seek_to
from curation.audio.frames import UnusableTimesError, iter_placed_frames
from curation.audio.layouts import check_gap, find_last_packet_s, split_joined_files
from curation.audio.mp3 import count_mp3
from curation.audio.packets import RAW_FORMATS, count_packets
from curation.audio.waveform import Waveform

# Waveforms of concatenated short files are kept up to this size: an hour of them could fill memory.
_MAX_JOINED_BYTES = 2**20
# Decoding starts this much before a segment: Opus wants 80 ms, AAC two packets.
_RUN_UP_S = 0.2
# A sound that begins later than its container by less than this begins with it: FFmpeg counts what
# decoders drop at the start (WMA: 4,096 samples) as played.
_PRIMING_S, _PRIMING_FRAMES = 0.1, 4096
# In MPEG program streams, times after a seek are at times those of the frame before.
_UNSEEKABLE = {"mpeg"}
# What a segment may be short of where times are rounded.
_ROUNDING_S = 0.05
# The end of a long sound is decoded from this much before its last packet.
_TAIL_S = 1.0
# FFmpeg's formats in which a gap is sound that is missing, and never a pause.
_GAPLESS = {"flac", "ogg"}
# FFmpeg's formats whose header states a length that a cut file falls short of, by more than what
# encoders and decoders disagree about padding.
_STATED_LENGTH = {"ape", "dsf", "iff", "mpc", "mpc8", "tak", "tta", "wv"}
_LENGTH_SLACK_S = 0.25


@dataclass(frozen=True, eq=False)
class ContainerSound:
    """The audio of one stream of a container.

    `origin_s` is the time of the first frame on FFmpeg's clock. It is None if the packets have no
    usable times; decoding then starts at the beginning of the file. `damages` lists the positions
    of samples that are known to be missing. `waveform` is the decoded audio of a short recording.
    """

    stream: int
    sample_rate_hz: int
    channels: int
    frames: int
    begin_s: float
    origin_s: float | None
    seekable: bool
    damages: tuple[int, ...] = ()
    waveform: Waveform | None = None

    def decode(self, data: bytes, name: str, first: int, last: int) -> Waveform:
        for position in self.damages:
            if first <= position < last:
                raise self._damage_error(name, position)
        if self.waveform is not None:
            return self.waveform[first:last]
        seeking = self.seekable and first > _RUN_UP_S * self.sample_rate_hz
        try:
            found = self._decode_from(data, name, first, last, True) if seeking else None
            if found is None:
                found = self._decode_from(data, name, first, last, False)
        except (av.error.FFmpegError, UnusableTimesError) as error:
            raise truncated_error(name, None, f"it cannot be decoded ({error})") from error
        length = 0 if found is None else len(found)
        if found is None or length < last - first - _ROUNDING_S * self.sample_rate_hz:
            reason = f"its sound ends at {self._time_s(first + length):.2f} s"
            raise truncated_error(name, self._time_s(self.frames), reason)
        return found

    def _decode_from(
        self, data: bytes, name: str, first: int, last: int, seeking: bool
    ) -> Waveform | None:
        """The segment; None if there is none, or seeking led to a place after its beginning."""
        collector, end = MonoCollector(), 0
        begin: int | None = None
        with open_container(data) as container:
            stream = container.streams[self.stream]
            if seeking:
                assert self.origin_s is not None
                target_s = self.origin_s + first / self.sample_rate_hz - _RUN_UP_S
                if not seek_to(container, stream, target_s):
                    return None
            for placed in iter_placed_frames(container, stream, self.origin_s):
                if placed.frame is None and begin is not None:
                    raise self._damage_error(name, placed.position)
                if placed.frame is None or placed.position + placed.samples <= first:
                    continue
                if begin is None:
                    if seeking and placed.position > first:
                        return None
                    # A segment may begin within a gap.
                    begin = end = min(placed.position, first)
                if placed.position > end:
                    check_gap(data, name)
                    collector.add_silence(min(placed.position, last) - end)
                collector.add(placed.frame)
                end = placed.position + placed.samples
                if end >= last:
                    break
        return None if begin is None else collector.to_waveform()[first - begin :][: last - first]

    def _damage_error(self, name: str, position: int) -> AudioError:
        return truncated_error(
            name, None, f"its sound at {self._time_s(position):.2f} s is damaged"
        )

    def _time_s(self, position: int) -> float:
        return self.begin_s + position / self.sample_rate_hz


def count_container(data: bytes, name: str, timed: bool = True) -> CountedSound:
    """Count the audio of a file that FFmpeg opens. Without `timed`, all of the file is decoded.

    Raises AudioError (`unknown_format` if there is no audio stream, or `truncated`), and
    av.error.FFmpegError if FFmpeg cannot open the file.
    """
    starts = [*split_joined_files(data, name), len(data)]
    if len(starts) == 2:
        return _count_one(data, name, timed, keep=True)
    keep = len(data) <= _MAX_JOINED_BYTES
    parts = [
        SoundPart(start, end, _count_one(data[start:end], name, timed, keep))
        for start, end in zip(starts[:-1], starts[1:], strict=True)
    ]
    return join_parts(parts, len(data))


def _count_one(data: bytes, name: str, timed: bool, keep: bool) -> CountedSound:
    """Count one file; with `keep`, the waveform of a short one is kept."""
    with open_container(data) as container:
        stream = choose_audio_stream(container, name)
        index, format_name = stream.index, container.format.name
        zero_s = (container.start_time or 0) / av.time_base
        stated_s = _stated_length_s(container, stream)
        if format_name in RAW_FORMATS and (raw := count_packets(data, container, stream, name)):
            return raw
    if format_name == "mp3" and (frames := count_mp3(data, name)):
        return frames
    try:
        found = None
        if keep and (stated_s is None or stated_s <= MAX_KEPT_S):
            found = _decode_all(data, name, index, zero_s, keep=True)
        if timed and format_name not in _UNSEEKABLE:
            found = found or _count_ends(data, name, index, zero_s)
        if timed:
            found = found or _decode_all(data, name, index, zero_s)
        found = found or _decode_all(data, name, index, None)
    except av.error.FFmpegError as error:
        raise truncated_error(name, None, f"it cannot be decoded to the end ({error})") from error
    if found and format_name in _UNSEEKABLE:
        found = replace(found, seekable=False)
    if found is None:
        raise truncated_error(name, stated_s, "none of it can be decoded")
    counted_s = found.frames / found.sample_rate_hz
    if format_name in _STATED_LENGTH and stated_s and stated_s > counted_s + _LENGTH_SLACK_S:
        raise truncated_error(name, stated_s, f"its sound ends at {counted_s:.2f} s")
    return found


def _decode_all(
    data: bytes, name: str, index: int, zero_s: float | None, keep: bool = False
) -> ContainerSound | None:
    """Count by decoding everything; with `keep` the waveform is kept.

    None if there is no sound, where the times are unusable, or too much would be kept.
    """
    collector, end, rate, channels = MonoCollector(), 0, 0, 0
    begin: int | None = None
    damages: list[int] = []
    with open_container(data) as container:
        stream = container.streams[index]
        gapless = container.format.name in _GAPLESS
        try:
            for position, samples, frame in iter_placed_frames(container, stream, zero_s):
                if frame is None or (gapless and begin is not None and position > end):
                    damages += [end] if begin is not None else []
                if frame is None or position + samples <= 0:
                    continue
                if begin is None:
                    begin = end = position
                    rate = frame.sample_rate
                channels = max(channels, frame.layout.nb_channels)
                if position > end:
                    check_gap(data, name)
                if keep:
                    if not is_short(position + samples - begin, rate, channels):
                        return None
                    collector.add_silence(position - end)
                    collector.add(frame)
                end = position + samples
        except UnusableTimesError:
            return None
    if begin is None:
        return None
    skipped, begin = max(0, -begin), max(0, begin)  # what lies before the container's zero
    if damages[-1:] == [end]:
        raise truncated_error(name, None, f"its last packet, at {end / rate:.2f} s, is cut")
    found = _place_sound(index, rate, channels, begin, end, zero_s)
    return replace(
        found,
        seekable=found.seekable and not keep,
        damages=tuple(each - begin for each in damages),
        waveform=collector.to_waveform()[skipped:] if keep else None,
    )


def _count_ends(data: bytes, name: str, index: int, zero_s: float) -> ContainerSound | None:
    """Count by the first frame and the last one; None if times are unusable."""
    end, damaged = 0, False
    try:
        with open_container(data) as container:
            stream = container.streams[index]
            frames = iter_placed_frames(container, stream, zero_s)
            first = next(p for p in frames if p.frame and p.position + p.samples > 0)
            rate, channels = first.frame.sample_rate, first.frame.layout.nb_channels
            last_s = find_last_packet_s(data, container, stream, name)
            if last_s is None or not seek_to(container, stream, last_s - _TAIL_S):
                return None
            for placed in iter_placed_frames(container, stream, zero_s, last_s - _TAIL_S):
                damaged = placed.frame is None
                end = max(end, placed.position + placed.samples)
    except (UnusableTimesError, StopIteration):
        return None
    if damaged:
        raise truncated_error(name, None, f"its last packet, at {end / rate:.2f} s, is cut")
    if end / rate < last_s - zero_s:
        return None
    return _place_sound(index, rate, channels, max(0, first.position), end, zero_s)


def _place_sound(
    index: int, rate: int, channels: int, begin: int, end: int, zero_s: float | None
) -> ContainerSound:
    begin_s = begin / rate
    origin_s = None if zero_s is None else zero_s + begin_s
    priming_s = max(_PRIMING_S, _PRIMING_FRAMES / rate)
    shown_s = begin_s if begin_s > priming_s else 0.0
    return ContainerSound(
        index, rate, channels, end - begin, shown_s, origin_s, seekable=origin_s is not None
    )


def _stated_length_s(container: Any, stream: Any) -> float | None:
    """What the header, or FFmpeg's estimate, says of the length."""
    if stream.duration:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration else None
