"""Files of packets with equal duration: MPEG audio, raw AAC, AC-3, DTS and GSM.

Such files have no timestamps, so FFmpeg would seek by an estimate, or read from the beginning.
Instead, only the packets of a segment are passed to FFmpeg's decoder.
"""

from array import array
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Any

import av
import numpy as np

from curation.audio.counted import CountedSound, SoundPart, join_parts
from curation.audio.errors import truncated_error
from curation.audio.ffmpeg import MonoCollector
from curation.audio.waveform import Waveform

# FFmpeg's formats of this kind, and the seconds that their decoders need before a segment: AAC
# repeats the settings of its high band now and then, GSM predicts from what it decoded.
RAW_FORMATS = {"aac": 0.6, "ac3": 0.1, "dts": 0.1, "eac3": 0.1, "gsm": 2.0}
# Where a packet's header gives its rate: the byte, and its bits.
_RATE_BITS = {"aac": (2, 0x3C), "ac3": (4, 0xC0), "eac3": (4, 0xC0)}
# As many packets are decoded to learn what each gives.
_PROBE_PACKETS = 4
# Of a segment, as much may be undecodable: a decoder may miss what lay before the file.
_MAX_DAMAGE_S = 0.25

Numbers = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True, eq=False)
class PacketSound:
    """A recording of packets at the byte positions `offsets`, with `lengths` in bytes.

    Each packet has `packet_frames` samples per channel. `run_up` packets are decoded before a
    segment. `delay` samples at the beginning and `padding` samples at the end are dropped.
    """

    codec: str
    sample_rate_hz: int
    channels: int
    packet_frames: int
    offsets: Numbers
    lengths: Numbers
    run_up: int
    delay: int = 0
    padding: int = 0
    begin_s: float = 0.0

    @property
    def frames(self) -> int:
        return max(0, len(self.offsets) * self.packet_frames - self.delay - self.padding)

    def decode(self, data: bytes, name: str, first: int, last: int) -> Waveform:
        wanted = (first + self.delay) // self.packet_frames
        stop = -(-(last + self.delay) // self.packet_frames)
        begin = max(0, wanted - self.run_up)
        collector, damaged = MonoCollector(), 0
        decoder = av.CodecContext.create(self.codec, "r")
        bounds = slice(begin, stop)
        places = zip(self.offsets[bounds].tolist(), self.lengths[bounds].tolist(), strict=True)
        for index, (offset, length) in enumerate(places, begin):
            frame = decode_packet(decoder, data[offset : offset + length])
            if frame is not None and frame.samples == self.packet_frames:
                collector.add(frame)
            else:
                collector.add_silence(self.packet_frames)
                damaged += index >= wanted
        if damaged * self.packet_frames > _MAX_DAMAGE_S * self.sample_rate_hz:
            reason = f"{damaged} of {stop - wanted} packets cannot be decoded"
            raise truncated_error(name, None, reason)
        skipped = first + self.delay - begin * self.packet_frames
        return collector.to_waveform()[skipped : skipped + last - first]


def check_contiguous(
    offsets: Numbers, lengths: Numbers, packet_s: float, name: str, skip_tags: Callable[[int], int]
) -> None:
    """Check that packets follow each other without gaps.

    Tags and a quarter of a second of other bytes are allowed between packets. Raises AudioError
    (`truncated`) for larger gaps, for instance for the zeros of an unfinished download.
    """
    ends = offsets[:-1] + lengths[:-1]
    for index in np.flatnonzero(offsets[1:] > ends).tolist():
        junk = int(offsets[index + 1]) - skip_tags(int(ends[index]))
        if junk * packet_s > _MAX_DAMAGE_S * float(lengths.mean()):
            reason = f"{junk} bytes at {(index + 1) * packet_s:.2f} s are no sound"
            raise truncated_error(name, None, reason)


def decode_packet(decoder: Any, data: bytes) -> Any:
    """Decode a packet to a frame. Returns None if the packet is damaged."""
    try:
        return next(iter(decoder.decode(av.Packet(data))), None)
    except av.error.FFmpegError:
        return None


def count_packets(data: bytes, container: Any, stream: Any, name: str) -> CountedSound | None:
    """Count the packets of an open raw file.

    Returns None if the packets differ in duration, or are not stored one after the other. If the
    rate changes, as in concatenated files, a new part begins. Raises AudioError (`truncated`) if
    the last packet is incomplete, and av.error.FFmpegError.
    """
    offsets, lengths, durations = array("q"), array("q"), set()
    for packet in container.demux(stream):
        if packet.size:
            offsets.append(-1 if packet.pos is None else packet.pos)
            lengths.append(packet.size)
            durations.add(packet.duration)
    if len(durations) != 1 or min(offsets) < 0:
        return None
    rates = _rate_codes(data, container.format.name, np.asarray(offsets, np.int64))
    bounds = [0, *(np.flatnonzero(rates[1:] != rates[:-1]) + 1).tolist(), len(offsets)]
    sounds = []
    for begin, end in pairwise(bounds):
        sound = _count_run(data, container, stream, offsets[begin:end], lengths[begin:end])
        if sound is None:
            return None
        sounds.append(sound)
    check_contiguous(
        np.asarray(offsets, np.int64),
        np.asarray(lengths, np.int64),
        sum(sound.packet_frames / sound.sample_rate_hz for sound in sounds) / len(sounds),
        name,
        lambda position: position,
    )
    last = data[offsets[-1] : offsets[-1] + lengths[-1]]
    codec = stream.codec_context.name
    # Decoders of some formats make up what is missing.
    shortest = 0 if container.format.name == "aac" else min(lengths[:-1], default=0)
    if decode_packet(av.CodecContext.create(codec, "r"), last) is None or lengths[-1] < shortest:
        raise truncated_error(name, None, f"its last packet, at byte {offsets[-1]}, is cut")
    return join_parts([SoundPart(0, len(data), sound) for sound in sounds], len(data))


def _rate_codes(data: bytes, format_name: str, offsets: Numbers) -> Numbers:
    """The bits of each packet's header that give its rate; 0 in formats that are not known."""
    if format_name not in _RATE_BITS:
        return np.zeros(len(offsets), np.int64)
    at, bits = _RATE_BITS[format_name]
    return (np.frombuffer(data, np.uint8)[offsets + at] & bits).astype(np.int64)


def _count_run(
    data: bytes, container: Any, stream: Any, offsets: "array[int]", lengths: "array[int]"
) -> PacketSound | None:
    """Packets of one rate; the first ones are decoded to learn what each gives."""
    codec, frame = stream.codec_context.name, None
    decoder = av.CodecContext.create(codec, "r")
    for offset, length in islice(zip(offsets, lengths, strict=True), _PROBE_PACKETS):
        frame = decode_packet(decoder, data[offset : offset + length])
    if frame is None or not frame.samples:
        return None
    seconds = RAW_FORMATS[container.format.name]
    return PacketSound(
        codec=codec,
        sample_rate_hz=frame.sample_rate,
        channels=frame.layout.nb_channels,
        packet_frames=frame.samples,
        offsets=np.asarray(offsets, np.int64),
        lengths=np.asarray(lengths, np.int64),
        run_up=int(seconds * frame.sample_rate / frame.samples) + 1,
    )
