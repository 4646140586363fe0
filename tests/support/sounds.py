"""Sounds for tests of decoding, and files of them by libsndfile and by FFmpeg.

The sound is a chirp, so that a segment cut at the wrong place is seen at once.
"""

import io
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import soundfile

from curation.audio.decode import DecodedAudio, decode_audio

RATE = 44100
Samples = npt.NDArray[np.float32]


def chirp(seconds: float = 5.0, rate: int = RATE, from_hz: float = 200.0) -> Samples:
    t = np.arange(int(seconds * rate)) / rate
    return (0.5 * np.sin(2 * np.pi * (from_hz * t + 150 * t * t))).astype(np.float32)


def long_chirp(seconds: float, rate: int = 8000) -> Samples:
    """A tone that rises from 200 to 3,200 Hz within the sound, however long it is."""
    t = np.arange(int(seconds * rate)) / rate
    return (0.5 * np.sin(2 * np.pi * (200 * t + 1500 / seconds * t * t))).astype(np.float32)


def libsndfile_bytes(
    format: str,
    subtype: str | None = None,
    sound: Samples | None = None,
    rate: int = RATE,
    **options: Any,
) -> bytes:
    sound = chirp(rate=rate) if sound is None else sound
    channels = 1 if sound.ndim == 1 else sound.shape[1]
    file = io.BytesIO()
    with soundfile.SoundFile(
        file, "w", rate, channels, subtype, format=format, **options
    ) as writer:
        for start in range(0, len(sound), rate):  # libsndfile's Vorbis cannot take minutes at once
            writer.write(sound[start : start + rate])
    return file.getvalue()


def ffmpeg_bytes(
    path: Path,
    codec: str,
    sound: Samples | None = None,
    rate: int = RATE,
    options: dict[str, str] | None = None,
    begin_s: float = 0.0,
    video_s: float = 0.0,
    format: str | None = None,
    layout: str = "stereo",
    bit_rate: int | None = None,
) -> bytes:
    """A file whose sound begins at `begin_s`; with a video from 0 to `video_s`."""
    sound = chirp(rate=rate) if sound is None else sound
    with av.open(str(path), "w", options=options or {}, format=format) as container:
        stream: Any = container.add_stream(codec, rate=rate, layout=layout)
        if bit_rate:
            stream.bit_rate = bit_rate
        if video_s:
            _mux_video(container, video_s)
        encoder = stream.codec_context
        if not encoder.is_open:
            encoder.open()
        resampler = av.AudioResampler(encoder.format, layout, rate, encoder.frame_size or 1024)
        blocks = [sound[start : start + rate] for start in range(0, len(sound), rate)]
        for index, block in enumerate(blocks):
            channels = np.stack([block] * encoder.layout.nb_channels)
            frame = av.AudioFrame.from_ndarray(channels, "fltp", layout)
            frame.sample_rate, frame.pts = rate, index * rate
            _mux_frames(container, stream, resampler.resample(frame), begin_s)
        _mux_frames(container, stream, [*resampler.resample(None), None], begin_s)
    return path.read_bytes()


def _mux_frames(container: Any, stream: Any, frames: list[Any], begin_s: float) -> None:
    for frame in frames:
        if frame is not None and frame.pts is not None:
            frame.pts += round(begin_s / frame.time_base)
        container.mux(stream.encode(frame))


def _mux_video(container: Any, seconds: float) -> None:
    codec = {"webm": "libvpx", "flv": "flv"}.get(container.format.name, "mpeg4")
    video = container.add_stream(codec, rate=10)
    video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
    frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), "rgb24")
    for index in range(int(seconds * 10)):
        frame.pts = index
        container.mux(video.encode(frame))
    container.mux(video.encode(None))


def decode(
    data: bytes, start_s: float | None = None, end_s: float | None = None, longest_s: float = 1e6
) -> DecodedAudio:
    return decode_audio(data, "clip.wav", start_s, end_s, longest_s)


def similarity(found: Samples, expected: Samples) -> float:
    length = min(len(found), len(expected))
    return float(np.corrcoef(found[:length], expected[:length])[0, 1])


def segments_match(data: bytes, sound: Samples, rate: int, slack: int = 0) -> bool:
    """Whether each of some segments holds the samples of that place in the sound.

    They may lie `slack` samples off where a container rounds its times.
    """
    seconds = len(sound) / rate
    return all(
        _segment_similarity(data, sound, rate, share * seconds, slack) > 0.99
        for share in (0.0, 0.2, 0.45, 0.55, 0.8)
    )


def _segment_similarity(
    data: bytes, sound: Samples, rate: int, start_s: float, slack: int
) -> float:
    decoded = decode(data, start_s, start_s + 0.1 * len(sound) / rate)
    assert abs(decoded.start_s - start_s) < 0.002, (decoded.start_s, start_s)
    first = round(decoded.start_s * rate)
    shifts = range(-slack, slack + 1)
    return max(similarity(decoded.waveform, sound[max(0, first + n) :]) for n in shifts)
