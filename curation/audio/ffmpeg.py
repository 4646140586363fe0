"""FFmpeg through PyAV: opens files, chooses the audio stream, collects frames as a mono waveform.

`containers` interprets the times of a container.
"""

import io
from typing import Any

import av
import numpy as np

from curation.audio.errors import AudioError, truncated_error
from curation.audio.waveform import Waveform, resample

# Only these of FFmpeg's formats are tried: playlists and the like could open other files.
_FORMATS = """
    aac ac3 aiff amr ape asf au avi caf dsf dts eac3 flac flv gsm iff matroska mov mp3 mpc mpc8 mpeg
    mpegts nistsphere ogg tak tta voc w64 wav webm wv
""".split()
_TYPES = {"u8": "u1", "s16": "i2", "s32": "i4", "s64": "i8", "flt": "f4", "dbl": "f8"}
_PENDING_FRAMES = 4096
_FORMAT_OPTIONS = {"format_whitelist": ",".join(_FORMATS)}


def open_container(data: bytes) -> Any:
    """Open the content of a file. Raises av.error.FFmpegError if FFmpeg cannot open it."""
    return av.open(io.BytesIO(data), options=_FORMAT_OPTIONS, metadata_errors="ignore")


def choose_audio_stream(container: Any, name: str) -> Any:
    """Return the audio stream that FFmpeg would choose.

    Streams that are marked as default are preferred, and among these the one with most channels.
    Raises AudioError (`unknown_format`) if there is no audio stream.
    """
    streams = [each for each in container.streams.audio if each.codec_context is not None]
    if not streams:
        raise AudioError("unknown_format", f"{name} holds no sound (no audio stream)")
    default = av.stream.Disposition.default
    return max(streams, key=lambda each: (bool(each.disposition & default), each.channels))


def seek_to(container: Any, stream: Any, time_s: float) -> bool:
    """Seek to a packet at or before `time_s`. Returns False if the format cannot seek."""
    try:
        container.seek(max(0, int(time_s / stream.time_base)), stream=stream)
    except av.error.FFmpegError:
        return False
    return True


class MonoCollector:
    """Collects decoded frames as one mono waveform, at the rate of the first frame.

    `frames` is the number of samples of one channel so far. `channels` is the largest number of
    channels of a frame.
    """

    def __init__(self) -> None:
        self.sample_rate_hz = self.channels = self.frames = 0
        self._waveforms: list[Waveform] = []
        self._pending: list[Any] = []
        self._parameters: tuple[Any, ...] = ()

    def add(self, frame: Any) -> None:
        parameters = (frame.format.name, frame.layout.nb_channels, frame.sample_rate)
        if parameters != self._parameters or len(self._pending) >= _PENDING_FRAMES:
            self._flush()
            self._parameters = parameters
        self.sample_rate_hz = self.sample_rate_hz or frame.sample_rate
        self.channels = max(self.channels, parameters[1])
        self.frames += frame.samples * self.sample_rate_hz // frame.sample_rate
        self._pending.append(frame)

    def add_silence(self, frames: int) -> None:
        if frames > 0:
            self._flush()
            self._waveforms.append(np.zeros(frames, np.float32))
            self.frames += frames

    def to_waveform(self) -> Waveform:
        """Return all added frames as float32 `[samples]`."""
        self._flush()
        if len(self._waveforms) != 1:
            self._waveforms = [np.concatenate([np.zeros(0, np.float32), *self._waveforms])]
        return self._waveforms[0]

    def _flush(self) -> None:
        if self._pending:
            waveform = _average_channels(self._pending)
            rate = self._pending[0].sample_rate
            self._waveforms.append(resample(waveform, rate, self.sample_rate_hz))
            self._pending = []


def _average_channels(frames: list[Any]) -> Waveform:
    """The mean over channels of frames alike, in any of FFmpeg's types, as float32 in -1..1."""
    first = frames[0]
    channels, type_ = first.layout.nb_channels, np.dtype(_TYPES[first.format.packed.name])
    # Views of FFmpeg's memory, which `to_ndarray` would copy.
    if first.format.is_planar:
        views = ([np.frombuffer(p, type_, f.samples) for p in f.planes] for f in frames)
        planes = zip(*views, strict=True)
        waveforms = [np.concatenate(each) for each in planes]
    else:
        blocks = [np.frombuffer(f.planes[0], type_, f.samples * channels) for f in frames]
        waveforms = list(np.concatenate(blocks).reshape(-1, channels).T)
    mean = waveforms[0].astype(np.float32, copy=False)
    for each in waveforms[1:]:
        mean = mean + each.astype(np.float32, copy=False)
    if channels > 1:
        mean /= np.float32(channels)
    if type_.kind == "f":
        return mean
    offset = 128 if type_ == np.uint8 else 0
    return (mean - np.float32(offset)) * np.float32(2.0 ** (1 - 8 * type_.itemsize))


def unreadable_error(data: bytes, name: str, reasons: str) -> AudioError:
    """Return the error for a file that no library can open."""
    head = data[:16]
    if head[4:8] == b"ftyp" or head[:4] in (b"OggS", b"fLaC", b"\x1aE\xdf\xa3"):
        return truncated_error(
            name, None, f"its head is right, but it cannot be opened ({reasons})"
        )
    return AudioError(
        "unknown_format",
        f"{name} is no sound file that can be read: it begins with {head!r}; expected wav, flac, "
        f"ogg, mp3, opus, m4a, mp4 or webm ({reasons})",
    )
