"""Decodes audio files to mono float32 waveforms, and checks that they can be used.

libsndfile (wav, flac, ogg, mp3, opus, ...) is tried first; what it does not read goes to FFmpeg
(m4a, mp4, webm, ...). Reading the bytes is left to `catalog.clip_bytes`, checks of headers
to `containers`, and resampling to `waveform`.
"""

import hashlib
import io
from dataclasses import dataclass
from typing import Any, BinaryIO

import av
import numpy as np
import soundfile

from curation.audio.containers import (
    DURATION_SLACK_S,
    check_ogg_is_whole,
    check_wav_is_whole,
    count_checkable_frames,
    iter_float_frames,
    measure_container_duration_s,
    measure_file_size,
    open_container,
    read_bytes_at,
    unreadable_error,
)
from curation.audio.errors import AudioError, truncated_error
from curation.audio.waveform import Levels, Waveform, measure_levels

MIN_DURATION_S = 0.1
# Few bytes may claim, or hold, hours of silence or a million channels and hertz: what goes beyond
# these is refused before it is decoded.
MAX_RECORDING_S = 24 * 3600.0
MAX_DECODED_SAMPLES = 2**27  # of all channels, as float32: 512 MiB

# Decoding starts this much before the wanted stretch, for codecs that need a run-up: MP3 as
# libsndfile seeks in it gives some 90 ms of wrong samples, Opus wants 80 ms.
_RUN_UP_S = 0.2


@dataclass(frozen=True, eq=False)
class DecodedAudio:
    """A stretch of sound: float32 mono `[samples]` at the file's own rate, nominally in -1..1.

    `start_s` and `end_s` are its place in the file.
    """

    waveform: Waveform
    sample_rate_hz: int
    start_s: float
    end_s: float

    @property
    def duration_s(self) -> float:
        return len(self.waveform) / self.sample_rate_hz


def decode_audio(
    data: bytes | BinaryIO,
    name: str,
    start_s: float | None,
    end_s: float | None,
    max_duration_s: float,
) -> DecodedAudio:
    """Decode the stretch from `start_s` to `end_s`, channels averaged; only that is decoded.

    `data` is a file's content or a seekable file; `name` is for messages. None stands for the
    file's beginning or end, and an end beyond the file's is the file's. Of a stretch longer than
    `max_duration_s` the centre of that length is decoded.

    Raises AudioError: `empty_file`, `unknown_format`, `truncated` (the file ends before its header
    says, or cannot be decoded to the end of the stretch), `too_short` (under `MIN_DURATION_S`),
    `too_long` (a recording over `MAX_RECORDING_S`), `too_large` (a stretch that decodes to more
    than `MAX_DECODED_SAMPLES`).
    """
    file = io.BytesIO(data) if isinstance(data, bytes) else data
    if not measure_file_size(file):
        raise AudioError("empty_file", f"{name} is empty (0 bytes)")
    request = _Request(name, start_s or 0.0, end_s, max_duration_s)
    head = read_bytes_at(file, 0, 12)
    if head[:4] == b"RIFF" and head[8:] == b"WAVE":
        check_wav_is_whole(file, name)
    elif head[:4] == b"OggS":
        check_ogg_is_whole(file, name)
    file.seek(0)
    try:
        sound = soundfile.SoundFile(file)
    except soundfile.LibsndfileError as error:
        return _decode_by_ffmpeg(file, request, error.error_string)
    with sound:
        if sound.frames >= 2**62:  # a FLAC stream that does not say its length
            return _decode_by_ffmpeg(file, request, "no length in the header")
        return _decode_by_libsndfile(sound, request, count_checkable_frames(file, sound))


def check_audible(decoded: DecodedAudio, name: str, silence_dbfs: float) -> Levels:
    """The levels of a sound that can be used.

    Raises AudioError: `not_finite` for NaN or infinite samples, `silent` where even the peak is
    below `silence_dbfs`.
    """
    bad = int(np.count_nonzero(~np.isfinite(decoded.waveform)))
    if bad:
        raise AudioError(
            "not_finite",
            f"{name} holds {bad} samples of {len(decoded.waveform)} that are NaN or infinite",
        )
    found = measure_levels(decoded.waveform)
    if found.peak_dbfs < silence_dbfs:
        raise AudioError(
            "silent",
            f"{name} is silent from {decoded.start_s:.2f} s to {decoded.end_s:.2f} s: its peak is "
            f"{found.peak_dbfs:.1f} dBFS, under the limit of {silence_dbfs:.1f} dBFS",
        )
    return found


def sha256_hex(data: bytes) -> str:
    """The hash of an encoded file's bytes, as `sha256sum` prints it."""
    return hashlib.sha256(data).hexdigest()


@dataclass(frozen=True)
class _Request:
    """The stretch to decode."""

    name: str
    start_s: float
    end_s: float | None
    max_duration_s: float

    def resolve_stretch(self, duration_s: float) -> tuple[float, float]:
        """Start and end in seconds of the stretch to decode in a file of this duration."""
        if duration_s > MAX_RECORDING_S:
            raise AudioError(
                "too_long",
                f"{self.name} claims {duration_s:.0f} s; at most {MAX_RECORDING_S:.0f} s are "
                "taken, so cut it into shorter files",
            )
        start_s = self.start_s
        end_s = duration_s if self.end_s is None else min(self.end_s, duration_s)
        if end_s - start_s < MIN_DURATION_S - 1e-6:
            end = "its end" if self.end_s is None else f"{self.end_s:.2f} s"
            raise AudioError(
                "too_short",
                f"{self.name} lasts {duration_s:.2f} s: from {start_s:.2f} s to {end} there are "
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
    sound: soundfile.SoundFile, request: _Request, certain_frames: int
) -> DecodedAudio:
    rate = sound.samplerate
    start_s, end_s = request.resolve_stretch(sound.frames / rate)
    first, last = round(start_s * rate), round(end_s * rate)
    run_up = min(first, int(_RUN_UP_S * rate))
    try:
        if certain_frames:
            sound.seek(certain_frames - 1)
            if len(sound.read(1)) != 1:
                raise truncated_error(
                    request.name, sound.frames / rate, "the rest of the file is missing"
                )
        request.check_samples((run_up + last - first) * sound.channels)
        sound.seek(first - run_up)
        samples = sound.read(run_up + last - first, dtype="float32", always_2d=True)[run_up:]
    except soundfile.LibsndfileError as error:
        reason = f"it cannot be read to the end ({error.error_string})"
        raise truncated_error(request.name, sound.frames / rate, reason) from error
    if len(samples) < int(MIN_DURATION_S * rate):
        raise truncated_error(request.name, sound.frames / rate, f"nothing follows {start_s:.2f} s")
    waveform = samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1, dtype=np.float32)
    return DecodedAudio(waveform, rate, first / rate, (first + len(waveform)) / rate)


def _decode_by_ffmpeg(file: BinaryIO, request: _Request, refusal: str) -> DecodedAudio:
    try:
        container = open_container(file)
    except av.error.FFmpegError as error:
        raise unreadable_error(file, request.name, refusal, error) from error
    with container:
        if not container.streams.audio:
            raise AudioError("unknown_format", f"{request.name} holds no sound (no audio stream)")
    try:
        # Opened for each, as not every format can be wound back after it was scanned.
        with open_container(file) as container:
            duration_s = measure_container_duration_s(container)
        with open_container(file) as container:
            return _decode_container(container, duration_s, request)
    except av.error.FFmpegError as error:
        reason = f"it cannot be decoded to the end ({error.strerror})"
        raise truncated_error(request.name, None, reason) from error


def _decode_container(container: Any, duration_s: float, request: _Request) -> DecodedAudio:
    stream = container.streams.audio[0]
    start_s, end_s = request.resolve_stretch(duration_s)
    origin_s = float((stream.start_time or 0) * stream.time_base)
    if start_s > _RUN_UP_S:
        target_s = origin_s + start_s - _RUN_UP_S
        container.seek(int(target_s / stream.time_base), stream=stream)
    blocks: list[np.ndarray] = []
    rate, frames_decoded, skipped, begun_s = 0, 0, 0, None
    for frame in iter_float_frames(container, stream):
        if begun_s is None:
            rate = frame.sample_rate
            begun_s = 0.0 if frame.pts is None else float(frame.pts * frame.time_base) - origin_s
        frames_decoded += frame.samples
        if not blocks and begun_s + frames_decoded / rate < start_s:
            # Not every format can seek to its place: this lies before the stretch.
            skipped = frames_decoded
            continue
        samples = frame.to_ndarray()
        request.check_samples((frames_decoded - skipped) * len(samples))
        blocks.append(samples.mean(axis=0, dtype=np.float32))
        if begun_s + frames_decoded / rate >= end_s:
            break
    if begun_s is None or not blocks or begun_s + frames_decoded / rate < end_s - DURATION_SLACK_S:
        end_of_sound_s = 0.0 if begun_s is None else begun_s + frames_decoded / rate
        raise truncated_error(request.name, duration_s, f"its sound ends at {end_of_sound_s:.2f} s")
    first = max(0, round((start_s - begun_s) * rate) - skipped)
    waveform = np.concatenate(blocks)[first : first + round((end_s - start_s) * rate)]
    first_s = begun_s + (skipped + first) / rate
    return DecodedAudio(waveform, rate, first_s, first_s + len(waveform) / rate)
