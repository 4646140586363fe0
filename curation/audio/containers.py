"""Audio containers: their durations, and whether a file holds all that its header claims.

Decoding of the samples is in `decode`.
"""

import io
import struct
from collections.abc import Iterator
from typing import Any, BinaryIO

import av
import soundfile

from curation.audio.errors import AudioError, truncated_error

# The header of a lossy file may claim this much more than can be decoded: encoders pad, decoders
# trim the padding (HE-AAC: 0.1 s), and not all headers know of it.
DURATION_SLACK_S = 0.25
# What `data` sizes mean "not known when the header was written" (ffmpeg, sox, arecord, GStreamer).
_STREAMED_WAV_SIZES = {0, 0x7FFFF000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF}
# Only these of FFmpeg's formats are tried: playlists and the like could open other files.
_FFMPEG_FORMATS = "mov,matroska,webm,aac,flac,ogg,wav,mp3,mpegts,mpeg,flv,asf,avi,amr,caf,aiff,w64"


def open_container(file: BinaryIO) -> Any:
    """Open a file by FFmpeg. Raises av.error.FFmpegError."""
    file.seek(0)
    return av.open(file, options={"format_whitelist": _FFMPEG_FORMATS}, metadata_errors="ignore")


def iterate_float_frames(container: Any, stream: Any) -> Iterator[Any]:
    """The stream's frames as planar float, so that `to_ndarray` is `[channel, samples]`."""
    converter = av.AudioResampler(format="fltp")
    for frame in container.decode(stream):
        yield from converter.resample(frame)


def measure_container_duration_s(container: Any) -> float:
    """The duration in the header where it is reliable, else the end of the last packet."""
    stream = container.streams.audio[0]
    if "mov" in container.format.name and stream.duration:
        return float(stream.duration * stream.time_base)
    if "matroska" in container.format.name:
        if "DURATION" in stream.metadata:
            hours, minutes, seconds = stream.metadata["DURATION"].split(":")
            return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
        if container.duration and len(container.streams) == 1:
            return float(container.duration / av.time_base)
    end = 0
    for packet in container.demux(stream):  # reads, and decodes nothing
        if packet.pts is not None:
            end = max(end, packet.pts - (stream.start_time or 0) + (packet.duration or 0))
    return float(end * stream.time_base)


def unreadable_error(file: BinaryIO, name: str, refusal: str, error: Any) -> AudioError:
    """The error for a file that neither library opens."""
    head = read_at(file, 0, 16)
    reasons = f"libsndfile: {refusal} FFmpeg: {error.strerror}."
    if head[4:8] == b"ftyp" or head[:4] in (b"OggS", b"fLaC", b"\x1aE\xdf\xa3"):
        return truncated_error(
            name, None, f"its head is right, but it cannot be opened ({reasons})"
        )
    return AudioError(
        "unknown_format",
        f"{name} is no sound file that can be read: it begins with {head!r}; expected wav, flac, "
        f"ogg, mp3, opus, m4a, mp4 or webm ({reasons})",
    )


def check_wav_is_whole(file: BinaryIO, name: str) -> None:
    """Check the size of the `data` chunk: libsndfile silently takes what is there.

    Raises AudioError where the file is shorter.
    """
    bytes_per_s, position, size = 0, 12, measure_file_size(file)
    while len(header := read_at(file, position, 8)) == 8:
        chunk, claimed = struct.unpack("<4sI", header)
        position += 8
        if chunk == b"fmt ":
            bytes_per_s = struct.unpack("<8xI", read_at(file, position, 12).ljust(12, b"\0"))[0]
        if chunk == b"data":
            held = size - position
            if claimed > held + 1 and claimed not in _STREAMED_WAV_SIZES:
                seconds = claimed / bytes_per_s if bytes_per_s else None
                reason = f"the file holds {held} of the {claimed} bytes of sound in its header"
                raise truncated_error(name, seconds, reason)
            return
        position += claimed + claimed % 2


def check_ogg_is_whole(file: BinaryIO, name: str) -> None:
    """Check that the last page is complete and ends the stream. Raises AudioError."""
    size = measure_file_size(file)
    tail = read_at(file, max(0, size - 2**17), 2**17)  # a page has at most 65,307 bytes
    page = tail[tail.rfind(b"OggS") :]
    segments = page[27 : 27 + page[26]] if len(page) > 26 else b""
    complete = len(page) >= 27 + len(segments) + sum(segments) and len(page) > 27
    if not complete or not page[5] & 4:
        raise truncated_error(
            name, None, f"its {size} bytes stop before the page that ends the stream"
        )


def count_checkable_frames(file: BinaryIO, sound: soundfile.SoundFile) -> int:
    """Frames that the header states; 0 where the file was checked already, or states none.

    Wav and Ogg are checked before. An MP3 states its frames in a Xing or Info header in its first
    frame; without one libsndfile guesses from the bit rate.
    """
    if sound.format == "FLAC":
        return sound.frames
    if sound.format not in ("MP3", "MPEG"):
        return 0
    position = file.tell()
    head = read_at(file, 0, 10)
    size = head[6:10]
    tag_bytes = 0
    if head[:3] == b"ID3":
        tag_bytes = 10 + (size[0] << 21 | size[1] << 14 | size[2] << 7 | size[3])
    frame = read_at(file, tag_bytes, 512)
    file.seek(position)
    stated = b"Xing" in frame or b"Info" in frame
    return max(0, sound.frames - int(DURATION_SLACK_S * sound.samplerate)) if stated else 0


def measure_file_size(file: BinaryIO) -> int:
    """Bytes of a file; moves its position."""
    return file.seek(0, io.SEEK_END)


def read_at(file: BinaryIO, position: int, count: int) -> bytes:
    """Bytes at a position; fewer at the end of the file."""
    file.seek(position)
    return file.read(count)
