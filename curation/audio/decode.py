"""Bytes become a waveform: decoding, mono, resampling, levels, and the errors that sound can have.

libsndfile (wav, flac, ogg, mp3, opus, ...) is asked first; what it does not know goes to FFmpeg
(m4a, mp4, webm, ...). Where the bytes come from is left to others.
"""

import hashlib
import io
import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, cast

import av
import numpy as np
import numpy.typing as npt
import soundfile

if TYPE_CHECKING:
    import torch

Waveform = npt.NDArray[np.float32]

AudioErrorType = Literal[
    "empty_file",
    "unknown_format",
    "truncated",
    "too_short",
    "too_long",
    "too_large",
    "not_finite",
    "silent",
]

MIN_DURATION_S = 0.1
# Few bytes may claim, or hold, hours of silence or a million channels and hertz: what goes beyond
# these is refused before it is decoded.
MAX_RECORDING_S = 24 * 3600.0
MAX_DECODED_SAMPLES = 2**27  # of all channels, as float32: 512 MiB
FLOOR_DBFS = -120.0

# The header of a lossy file may claim this much more than can be decoded: encoders pad, decoders
# trim the padding (HE-AAC: 0.1 s), and not all headers know of it.
_SLACK_S = 0.25
# Decoding starts this much before the wanted stretch, for codecs that need a run-up: MP3 as
# libsndfile seeks in it gives some 90 ms of wrong samples, Opus wants 80 ms.
_RUN_UP_S = 0.2
# What `data` sizes mean "not known when the header was written" (ffmpeg, sox, arecord, GStreamer).
_STREAMED_WAV_SIZES = {0, 0x7FFFF000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF}
# Only these of FFmpeg's formats are tried: playlists and the like could open other files.
_FFMPEG_FORMATS = "mov,matroska,webm,aac,flac,ogg,wav,mp3,mpegts,mpeg,flv,asf,avi,amr,caf,aiff,w64"
# A larger sinc kernel is slow and can fill the memory; such pairs of rates are filtered by SciPy.
_MAX_KERNEL_TAPS = 2**20


class AudioError(ValueError):
    """A sound that cannot be used; `type` is one of a few words, the message says why."""

    def __init__(self, type: AudioErrorType, message: str) -> None:
        super().__init__(message)
        self.type = type

    def __reduce__(self) -> tuple[Any, ...]:
        return AudioError, (self.type, str(self))


@dataclass(frozen=True, eq=False)
class Decoded:
    """A stretch of sound: float32 mono `[samples]` at the file's own rate, nominally in -1..1.

    `start_s` and `end_s` say where in the file it was heard.
    """

    waveform: Waveform
    sample_rate_hz: int
    start_s: float
    end_s: float

    @property
    def duration_s(self) -> float:
        return len(self.waveform) / self.sample_rate_hz


@dataclass(frozen=True)
class Levels:
    """Loudness in dB relative to full scale: a full-scale sine has peak 0 and RMS -3.01 dBFS.

    Nothing is lower than `FLOOR_DBFS`, which stands for digital silence.
    """

    peak_dbfs: float
    rms_dbfs: float


def decode(
    data: bytes | BinaryIO,
    name: str,
    start_s: float | None,
    end_s: float | None,
    max_duration_s: float,
) -> Decoded:
    """Decode the stretch from `start_s` to `end_s`, channels averaged; only that is decoded.

    `data` is a file's content or a seekable file; `name` is for messages. None stands for the
    file's beginning or end, and an end beyond the file's is the file's. Of a stretch longer than
    `max_duration_s` the centre of that length is heard.

    Raises AudioError: `empty_file`, `unknown_format`, `truncated` (the file ends before its header
    says, or cannot be decoded to the end of the stretch), `too_short` (under `MIN_DURATION_S`),
    `too_long` (a recording over `MAX_RECORDING_S`), `too_large` (a stretch that decodes to more
    than `MAX_DECODED_SAMPLES`).
    """
    file = io.BytesIO(data) if isinstance(data, bytes) else data
    if not _size(file):
        raise AudioError("empty_file", f"{name} is empty (0 bytes)")
    wanted = _Wanted(name, start_s or 0.0, end_s, max_duration_s)
    head = _read_at(file, 0, 12)
    if head[:4] == b"RIFF" and head[8:] == b"WAVE":
        _check_wav_is_whole(file, name)
    elif head[:4] == b"OggS":
        _check_ogg_is_whole(file, name)
    file.seek(0)
    try:
        sound = soundfile.SoundFile(file)
    except soundfile.LibsndfileError as error:
        return _decode_by_ffmpeg(file, wanted, error.error_string)
    with sound:
        if sound.frames >= 2**62:  # a FLAC stream that does not say its length
            return _decode_by_ffmpeg(file, wanted, "no length in the header")
        return _decode_by_libsndfile(sound, wanted, _certain_frames(file, sound))


def levels(waveform: Waveform) -> Levels:
    """Peak and RMS of `[samples]`; see `Levels` for the convention. NaN gives NaN."""
    peak = max(float(waveform.max()), -float(waveform.min()))
    rms = math.sqrt(float(np.dot(waveform, waveform)) / len(waveform))
    return Levels(_dbfs(peak), _dbfs(rms))


def check_sound(decoded: Decoded, name: str, silence_dbfs: float) -> Levels:
    """The levels of a sound fit for use.

    Raises AudioError: `not_finite` for NaN or infinite samples, `silent` where even the peak is
    below `silence_dbfs`.
    """
    bad = int(np.count_nonzero(~np.isfinite(decoded.waveform)))
    if bad:
        raise AudioError(
            "not_finite",
            f"{name} holds {bad} samples of {len(decoded.waveform)} that are NaN or infinite",
        )
    found = levels(decoded.waveform)
    if found.peak_dbfs < silence_dbfs:
        raise AudioError(
            "silent",
            f"{name} is silent from {decoded.start_s:.2f} s to {decoded.end_s:.2f} s: its peak is "
            f"{found.peak_dbfs:.1f} dBFS, under the limit of {silence_dbfs:.1f} dBFS",
        )
    return found


def resample(waveform: Waveform, from_hz: int, to_hz: int) -> Waveform:
    """`[samples]` at another rate, `ceil(samples * to_hz / from_hz)` of them; safe in threads."""
    if from_hz == to_hz:
        return waveform
    divisor = math.gcd(from_hz, to_hz)
    up, down = to_hz // divisor, from_hz // divisor
    if up * down > _MAX_KERNEL_TAPS:
        import scipy.signal  # slow to import, and few pairs need it

        resampled = scipy.signal.resample_poly(waveform, up, down)
        return np.ascontiguousarray(resampled, dtype=np.float32)
    import torch  # heavy, and a clip that is at the right rate already does not need it

    with torch.inference_mode():
        # torch warns of arrays that it could not write to.
        samples = torch.from_numpy(np.require(waveform, np.float32, ["C", "W"]))
        return cast(Waveform, _sinc_resampler(from_hz, to_hz)(samples).numpy())


def to_int16(waveform: Waveform) -> npt.NDArray[np.int16]:
    """16-bit samples of `[samples]`: times 32767, rounded to the nearest, clipped at full scale."""
    return np.rint(np.clip(waveform, -1.0, 1.0) * np.float32(32767)).astype(np.int16)


def from_int16(samples: npt.NDArray[np.int16]) -> Waveform:
    """The waveform of 16-bit samples; `to_int16` of it gives them back, -32768 as -32767."""
    return samples.astype(np.float32) / np.float32(32767)


def encode_flac(samples: npt.NDArray[np.int16], sample_rate_hz: int) -> bytes:
    """16-bit mono `[samples]` as a FLAC file, lossless."""
    file = io.BytesIO()
    soundfile.write(file, samples, sample_rate_hz, format="FLAC", subtype="PCM_16")
    return file.getvalue()


def flac(heard: Decoded, rate_hz: int) -> bytes:
    """What was decoded, as mono 16-bit FLAC at a rate."""
    waveform = resample(heard.waveform, heard.sample_rate_hz, rate_hz)
    return encode_flac(to_int16(waveform), rate_hz)


def sha256(data: bytes) -> str:
    """The hash of an encoded file's bytes, as `sha256sum` prints it."""
    return hashlib.sha256(data).hexdigest()


@dataclass(frozen=True)
class _Wanted:
    """The stretch that was asked for."""

    name: str
    start_s: float
    end_s: float | None
    max_duration_s: float

    def within(self, duration_s: float) -> tuple[float, float]:
        """The stretch to hear in a file of this duration: start and end in seconds."""
        if duration_s > MAX_RECORDING_S:
            raise AudioError(
                "too_long",
                f"{self.name} claims {duration_s:.0f} s; at most {MAX_RECORDING_S:.0f} s are "
                "taken, so cut it into shorter files",
            )
        start_s = self.start_s
        end_s = duration_s if self.end_s is None else min(self.end_s, duration_s)
        if end_s - start_s < MIN_DURATION_S - 1e-6:
            asked = "its end" if self.end_s is None else f"{self.end_s:.2f} s"
            raise AudioError(
                "too_short",
                f"{self.name} lasts {duration_s:.2f} s: from {start_s:.2f} s to {asked} there are "
                f"not the {MIN_DURATION_S} s that a clip needs",
            )
        surplus_s = max(0.0, end_s - start_s - self.max_duration_s)
        return start_s + surplus_s / 2, end_s - surplus_s / 2

    def check_samples(self, samples: int) -> None:
        if samples > MAX_DECODED_SAMPLES:
            raise AudioError(
                "too_large",
                f"{self.name} would decode to {samples} samples or more over its channels; at most "
                f"{MAX_DECODED_SAMPLES} are taken: lower audio.max_duration_s, or resample it",
            )


def _decode_by_libsndfile(
    sound: soundfile.SoundFile, wanted: _Wanted, certain_frames: int
) -> Decoded:
    rate = sound.samplerate
    start_s, end_s = wanted.within(sound.frames / rate)
    first, last = round(start_s * rate), round(end_s * rate)
    run_up = min(first, int(_RUN_UP_S * rate))
    try:
        if certain_frames:
            sound.seek(certain_frames - 1)
            if len(sound.read(1)) != 1:
                raise _truncated(
                    wanted.name, sound.frames / rate, "the rest of the file is missing"
                )
        wanted.check_samples((run_up + last - first) * sound.channels)
        sound.seek(first - run_up)
        samples = sound.read(run_up + last - first, dtype="float32", always_2d=True)[run_up:]
    except soundfile.LibsndfileError as error:
        reason = f"it cannot be read to the end ({error.error_string})"
        raise _truncated(wanted.name, sound.frames / rate, reason) from error
    if len(samples) < int(MIN_DURATION_S * rate):
        raise _truncated(wanted.name, sound.frames / rate, f"nothing follows {start_s:.2f} s")
    waveform = samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1, dtype=np.float32)
    return Decoded(waveform, rate, first / rate, (first + len(waveform)) / rate)


def _decode_by_ffmpeg(file: BinaryIO, wanted: _Wanted, refusal: str) -> Decoded:
    try:
        container = _open_container(file)
    except av.error.FFmpegError as error:
        raise _unreadable(file, wanted.name, refusal, error) from error
    with container:
        if not container.streams.audio:
            raise AudioError("unknown_format", f"{wanted.name} holds no sound (no audio stream)")
    try:
        # Opened for each, as not every format can be wound back after it was scanned.
        with _open_container(file) as container:
            duration_s = _container_duration_s(container)
        with _open_container(file) as container:
            return _decode_container(container, duration_s, wanted)
    except av.error.FFmpegError as error:
        reason = f"it cannot be decoded to the end ({error.strerror})"
        raise _truncated(wanted.name, None, reason) from error


def _open_container(file: BinaryIO) -> Any:
    file.seek(0)
    return av.open(file, options={"format_whitelist": _FFMPEG_FORMATS}, metadata_errors="ignore")


def _decode_container(container: Any, duration_s: float, wanted: _Wanted) -> Decoded:
    stream = container.streams.audio[0]
    start_s, end_s = wanted.within(duration_s)
    origin_s = float((stream.start_time or 0) * stream.time_base)
    if start_s > _RUN_UP_S:
        target_s = origin_s + start_s - _RUN_UP_S
        container.seek(int(target_s / stream.time_base), stream=stream)
    blocks: list[np.ndarray] = []
    rate, heard, passed, begun_s = 0, 0, 0, None
    for frame in _float_frames(container, stream):
        if begun_s is None:
            rate = frame.sample_rate
            begun_s = 0.0 if frame.pts is None else float(frame.pts * frame.time_base) - origin_s
        heard += frame.samples
        if not blocks and begun_s + heard / rate < start_s:
            passed = heard  # not every format can be wound to its place: this lies before it
            continue
        samples = frame.to_ndarray()
        wanted.check_samples((heard - passed) * len(samples))
        blocks.append(samples.mean(axis=0, dtype=np.float32))
        if begun_s + heard / rate >= end_s:
            break
    if begun_s is None or not blocks or begun_s + heard / rate < end_s - _SLACK_S:
        found_s = 0.0 if begun_s is None else begun_s + heard / rate
        raise _truncated(wanted.name, duration_s, f"its sound ends at {found_s:.2f} s")
    first = max(0, round((start_s - begun_s) * rate) - passed)
    waveform = np.concatenate(blocks)[first : first + round((end_s - start_s) * rate)]
    heard_from_s = begun_s + (passed + first) / rate
    return Decoded(waveform, rate, heard_from_s, heard_from_s + len(waveform) / rate)


def _float_frames(container: Any, stream: Any) -> Iterator[Any]:
    """The stream's frames as planar float, so that `to_ndarray` is `[channel, samples]`."""
    converter = av.AudioResampler(format="fltp")
    for frame in container.decode(stream):
        yield from converter.resample(frame)


def _container_duration_s(container: Any) -> float:
    """The duration in the header where it can be believed, else the end of the last packet."""
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


def _unreadable(file: BinaryIO, name: str, refusal: str, error: Any) -> AudioError:
    """What to say of a file that neither library opens."""
    head = _read_at(file, 0, 16)
    told = f"libsndfile: {refusal} FFmpeg: {error.strerror}."
    if head[4:8] == b"ftyp" or head[:4] in (b"OggS", b"fLaC", b"\x1aE\xdf\xa3"):
        return _truncated(name, None, f"it begins as it should, and cannot be opened ({told})")
    return AudioError(
        "unknown_format",
        f"{name} is no sound file that can be read: it begins with {head!r}; expected wav, flac, "
        f"ogg, mp3, opus, m4a, mp4 or webm ({told})",
    )


def _truncated(name: str, duration_s: float | None, reason: str) -> AudioError:
    claim = "" if duration_s is None else f"its header claims {duration_s:.2f} s, but "
    return AudioError(
        "truncated", f"{name} is truncated or damaged: {claim}{reason}; fetch the file again"
    )


def _check_wav_is_whole(file: BinaryIO, name: str) -> None:
    """Compare the `data` size with the file's: libsndfile would silently take what is there."""
    bytes_per_s, position, size = 0, 12, _size(file)
    while len(header := _read_at(file, position, 8)) == 8:
        chunk, claimed = struct.unpack("<4sI", header)
        position += 8
        if chunk == b"fmt ":
            bytes_per_s = struct.unpack("<8xI", _read_at(file, position, 12).ljust(12, b"\0"))[0]
        if chunk == b"data":
            held = size - position
            if claimed > held + 1 and claimed not in _STREAMED_WAV_SIZES:
                seconds = claimed / bytes_per_s if bytes_per_s else None
                reason = f"the file holds {held} of the {claimed} bytes of sound in its header"
                raise _truncated(name, seconds, reason)
            return
        position += claimed + claimed % 2


def _check_ogg_is_whole(file: BinaryIO, name: str) -> None:
    """The last page must be complete and marked as the end of the stream."""
    size = _size(file)
    tail = _read_at(file, max(0, size - 2**17), 2**17)  # a page has at most 65,307 bytes
    page = tail[tail.rfind(b"OggS") :]
    segments = page[27 : 27 + page[26]] if len(page) > 26 else b""
    complete = len(page) >= 27 + len(segments) + sum(segments) and len(page) > 27
    if not complete or not page[5] & 4:
        raise _truncated(name, None, f"its {size} bytes stop before the page that ends the stream")


def _certain_frames(file: BinaryIO, sound: soundfile.SoundFile) -> int:
    """How many frames the file states that it has; 0 where nothing needs to be, or can be, checked.

    Wav and Ogg are checked before. An MP3 states its frames in a Xing or Info header in its first
    frame; without one libsndfile guesses from the bit rate.
    """
    if sound.format == "FLAC":
        return sound.frames
    if sound.format not in ("MP3", "MPEG"):
        return 0
    position = file.tell()
    head = _read_at(file, 0, 10)
    size = head[6:10]
    tag_bytes = 0
    if head[:3] == b"ID3":
        tag_bytes = 10 + (size[0] << 21 | size[1] << 14 | size[2] << 7 | size[3])
    frame = _read_at(file, tag_bytes, 512)
    file.seek(position)
    stated = b"Xing" in frame or b"Info" in frame
    return max(0, sound.frames - int(_SLACK_S * sound.samplerate)) if stated else 0


@lru_cache(maxsize=32)
def _sinc_resampler(from_hz: int, to_hz: int) -> "torch.nn.Module":
    """The kernel for a pair of rates (Hann-windowed sinc), made once."""
    import torchaudio

    return cast("torch.nn.Module", torchaudio.transforms.Resample(from_hz, to_hz))


def _dbfs(amplitude: float) -> float:
    floor = 10 ** (FLOOR_DBFS / 20)
    return amplitude if math.isnan(amplitude) else 20 * math.log10(max(amplitude, floor))


def _size(file: BinaryIO) -> int:
    return file.seek(0, io.SEEK_END)


def _read_at(file: BinaryIO, position: int, count: int) -> bytes:
    file.seek(position)
    return file.read(count)
