"""Decoding: every format gives the same sound, every fault its own error, and nothing is guessed.

The sound is a chirp, so that a segment cut at the wrong place is seen at once.
"""

import io
import math
import pickle
import struct
import threading
import tracemalloc

import av
import numpy as np
import pytest
import soundfile

from curation.audio.decode import DecodedAudio, check_audible, decode_audio, sha256_hex
from curation.audio.errors import AudioError
from curation.audio.waveform import (
    Levels,
    encode_flac,
    from_int16,
    measure_levels,
    resample,
    to_int16,
)
from tests.support.paths import SHARED_DATA

RATE = 44100


def chirp(seconds=5.0, rate=RATE):
    t = np.arange(int(seconds * rate)) / rate
    return (0.5 * np.sin(2 * np.pi * (200 * t + 150 * t * t))).astype(np.float32)


def libsndfile_bytes(format, subtype=None, sound=None, rate=RATE):
    sound = chirp(rate=rate) if sound is None else sound
    channels = 1 if sound.ndim == 1 else sound.shape[1]
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", rate, channels, subtype, format=format) as writer:
        for start in range(0, len(sound), rate):  # libsndfile's Vorbis cannot take minutes at once
            writer.write(sound[start : start + rate])
    return file.getvalue()


def ffmpeg_bytes(path, codec, sound=None, rate=RATE, options=None, with_video=False):
    sound = chirp(rate=rate) if sound is None else sound
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=rate, layout="stereo")
        if with_video:
            video = container.add_stream("mpeg4", rate=10)
            video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
            frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), "rgb24")
            for index in range(70):
                frame.pts = index
                container.mux(video.encode(frame))
            container.mux(video.encode(None))
        whole = av.AudioFrame.from_ndarray(np.stack([sound, sound]), "fltp", "stereo")
        whole.sample_rate, whole.pts = rate, 0
        resampler = av.AudioResampler(
            stream.codec_context.format, "stereo", rate, stream.codec_context.frame_size or 1024
        )
        for frame in [*resampler.resample(whole), *resampler.resample(None), None]:
            container.mux(stream.encode(frame))
    return path.read_bytes()


@pytest.fixture(scope="module")
def encoded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("audio")
    faststart = {"movflags": "faststart"}
    fragmented = {"movflags": "frag_keyframe+empty_moov", "frag_duration": "1000000"}
    return {
        "wav": libsndfile_bytes("WAV", "PCM_16"),
        "float.wav": libsndfile_bytes("WAV", "FLOAT"),
        "flac": libsndfile_bytes("FLAC"),
        "ogg": libsndfile_bytes("OGG", "VORBIS"),
        "opus": libsndfile_bytes("OGG", "OPUS", rate=48000),
        "mp3": libsndfile_bytes("MP3"),
        "m4a": ffmpeg_bytes(folder / "a.m4a", "aac"),
        "mp4": ffmpeg_bytes(folder / "a.mp4", "aac", options=faststart, with_video=True),
        "fragmented.mp4": ffmpeg_bytes(folder / "b.mp4", "aac", options=fragmented),
        "webm": ffmpeg_bytes(folder / "a.webm", "libopus", rate=48000),
        "aac": ffmpeg_bytes(folder / "a.aac", "aac"),
    }


FORMATS = [
    "wav", "float.wav", "flac", "ogg", "opus", "mp3", "m4a", "mp4", "fragmented.mp4", "webm", "aac"
]  # fmt: skip


def similarity(found, expected):
    length = min(len(found), len(expected))
    return np.corrcoef(found[:length], expected[:length])[0, 1]


def error_of(data, start_s=None, end_s=None, max_duration_s=30.0):
    with pytest.raises(AudioError) as caught:
        decode_audio(data, "clip.wav", start_s, end_s, max_duration_s)
    return caught.value.kind, str(caught.value)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_whole_sound(encoded, name):
    decoded = decode_audio(encoded[name], name, None, None, 30.0)
    assert decoded.waveform.dtype == np.float32 and decoded.waveform.ndim == 1
    assert decoded.duration_s == pytest.approx(5.0, abs=0.06)  # AAC pads
    assert decoded.start_s == 0.0 and decoded.end_s == pytest.approx(decoded.duration_s)
    # AAC without a container keeps its 1024 samples of delay: nothing in the file says so.
    late = 1024 if name in ("aac", "fragmented.mp4") else 0
    assert similarity(decoded.waveform[late:], chirp(rate=decoded.sample_rate_hz)) > 0.99


@pytest.mark.parametrize("name", FORMATS)
def test_a_segment_is_the_same_as_that_part_of_the_whole(encoded, name):
    whole = decode_audio(encoded[name], name, None, None, 30.0)
    part = decode_audio(encoded[name], name, 2.0, 3.5, 30.0)
    assert (part.start_s, part.end_s) == pytest.approx((2.0, 3.5), abs=1e-3)
    first = round(part.start_s * whole.sample_rate_hz)
    # A WebM file tells time in milliseconds, so its cuts are as exact as that.
    shifts = range(-48, 49, 24) if name == "webm" else [0]
    assert max(similarity(part.waveform, whole.waveform[first + s :]) for s in shifts) > 0.999


@pytest.mark.parametrize("name", ["flac", "webm"])
def test_of_a_longer_segment_the_centre_is_decoded(encoded, name):
    decoded = decode_audio(encoded[name], name, 1.0, None, 2.0)
    assert (decoded.start_s, decoded.end_s) == pytest.approx((2.0, 4.0), abs=0.01)
    again = decode_audio(encoded[name], name, 1.0, None, 2.0)
    assert np.array_equal(decoded.waveform, again.waveform)


def test_an_end_beyond_the_file_is_the_end_of_the_file(encoded):
    decoded = decode_audio(encoded["ogg"], "a.ogg", 4.0, 14.0, 30.0)
    assert (decoded.start_s, decoded.end_s) == pytest.approx((4.0, 5.0), abs=1e-3)


@pytest.mark.parametrize("name", FORMATS)
def test_a_segment_can_be_decoded_again_by_its_times(encoded, name):
    decoded = decode_audio(encoded[name], name, 1.0, 4.33333, 2.0)
    again = decode_audio(encoded[name], name, decoded.start_s, decoded.end_s, decoded.duration_s)
    assert np.array_equal(decoded.waveform, again.waveform)
    assert (decoded.start_s, decoded.end_s) == (again.start_s, again.end_s)


def test_channels_are_averaged():
    left = chirp()
    data = libsndfile_bytes("WAV", "FLOAT", np.stack([left, np.zeros_like(left)], axis=1))
    assert np.allclose(decode_audio(data, "a.wav", None, None, 9.0).waveform, left / 2, atol=1e-7)


def test_an_empty_file():
    assert error_of(b"") == ("empty_file", "clip.wav is empty (0 bytes)")


@pytest.mark.parametrize(
    "data",
    [
        b"This is not sound.\n" * 100,
        "Nor is this.".encode("utf-16") * 100,
        b"#EXTM3U\nfile:///etc/hostname\n",
        b"ffconcat version 1.0\nfile /etc/hostname\n",
        b"ID3" + bytes(100),
        bytes(5000),
    ],
)
def test_a_file_that_is_not_sound(data):
    kind, message = error_of(data)
    assert kind == "unknown_format"
    assert f"it begins with {data[:16]!r}; expected wav, flac, ogg, mp3" in message


def test_a_video_without_sound(tmp_path):
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), "rgb24")
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    kind, message = error_of((tmp_path / "a.mp4").read_bytes())
    assert kind == "unknown_format" and "no audio stream" in message


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("share", [0.9, 0.5, 0.05])
def test_a_truncated_file(encoded, name, share):
    data = encoded[name]
    kind, message = error_of(data[: int(len(data) * share)])
    assert kind == "truncated"
    assert message.startswith("clip.wav is truncated or damaged: ")


def test_a_truncated_ogg_says_what_is_missing(encoded):
    _, message = error_of(encoded["ogg"][:3000])
    assert "its last page, at byte 58 of 3000, is cut" in message


@pytest.mark.parametrize("name", ["ogg", "flac", "m4a", "webm"])
def test_a_damaged_header_is_not_taken_for_another_format(encoded, name):
    data = bytearray(encoded[name])
    data[24:200] = bytes(176)
    kind, message = error_of(bytes(data))
    assert kind == "truncated" and "is truncated or damaged" in message


@pytest.mark.parametrize("max_duration_s", [10.0, 10000.0])
def test_a_wav_header_that_claims_ten_hours(encoded, max_duration_s):
    at = encoded["wav"].index(b"data") + 4
    data = encoded["wav"][:at] + struct.pack("<I", 36000 * RATE * 2) + encoded["wav"][at + 4 :]
    tracemalloc.start()
    kind, message = error_of(data, max_duration_s=max_duration_s)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kind == "truncated"
    assert "its header claims 36000.00 s, but" in message
    assert peak < 20e6


def test_a_wav_written_to_a_pipe_is_not_truncated(encoded):
    data = encoded["wav"]
    at = data.index(b"data") + 4
    piped = data[:at] + b"\xff\xff\xff\xff" + data[at + 4 :]
    assert decode_audio(piped, "a.wav", None, None, 9.0).duration_s == 5.0


def test_an_mp3_without_a_frame_count_is_not_truncated(tmp_path):
    data = ffmpeg_bytes(tmp_path / "a.mp3", "libmp3lame", options={"write_xing": "0"})
    decoded = decode_audio(data, "a.mp3", None, None, 9.0)
    assert decoded.duration_s == pytest.approx(5.0, abs=0.1)


def test_a_start_beyond_the_end(encoded):
    kind, message = error_of(encoded["wav"], 30.0, 40.0)
    assert kind == "too_short"
    assert "clip.wav lasts 5.00 s: from 30.00 s to 40.00 s there are not the 0.1 s" in message


def test_a_clip_of_some_milliseconds():
    assert error_of(libsndfile_bytes("WAV", None, chirp(0.05)))[0] == "too_short"


def test_silence():
    decoded = decode_audio(libsndfile_bytes("WAV", None, chirp() * 0), "a.wav", None, None, 9.0)
    with pytest.raises(AudioError, match="a.wav is silent .* -120.0 dBFS") as caught:
        check_audible(decoded, measure_levels(decoded.waveform), "a.wav", silence_dbfs=-60.0)
    assert caught.value.kind == "silent"


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_samples_that_are_no_numbers(value):
    sound = chirp()
    sound[100:103] = value
    data = libsndfile_bytes("WAV", "FLOAT", sound)
    decoded = decode_audio(data, "a.wav", None, None, 9.0)
    with pytest.raises(AudioError, match="holds 3 samples of 220500 that are NaN") as caught:
        check_audible(decoded, measure_levels(decoded.waveform), "a.wav", silence_dbfs=-60.0)
    assert caught.value.kind == "not_finite"


def test_samples_whose_squares_overflow_are_numbers():
    decoded = DecodedAudio(np.full(100, 1e30, np.float32), RATE, 0.0, 100 / RATE)
    levels = measure_levels(decoded.waveform)
    assert math.isinf(levels.rms_dbfs)
    check_audible(decoded, levels, "a.wav", silence_dbfs=-60.0)


def test_an_error_survives_the_way_between_processes():
    error = pickle.loads(pickle.dumps(AudioError("silent", "a.wav is silent")))
    assert (error.kind, str(error)) == ("silent", "a.wav is silent")


def test_levels_of_a_full_scale_sine():
    sine = np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE).astype(np.float32)
    found = measure_levels(sine)
    assert found.peak_dbfs == pytest.approx(0.0, abs=0.01)
    assert found.rms_dbfs == pytest.approx(-3.01, abs=0.01)
    assert measure_levels(np.zeros(10, np.float32)) == Levels(-120.0, -120.0)
    assert math.isnan(measure_levels(np.array([np.nan, 1.0], np.float32)).rms_dbfs)


@pytest.mark.parametrize("rates", [(44100, 16000), (16000, 44100), (48000, 32000), (22255, 32000)])
def test_resampling_keeps_a_tone(rates):
    before, after = rates
    tone = np.sin(2 * np.pi * 1000 * np.arange(2 * before) / before).astype(np.float32)
    expected = np.sin(2 * np.pi * 1000 * np.arange(2 * after) / after)
    found = resample(tone, before, after)
    assert found.dtype == np.float32 and len(found) == 2 * after
    inside = slice(after // 10, -after // 10)
    assert np.abs(found[inside] - expected[inside]).max() < 0.01


def test_resampling_removes_what_the_new_rate_cannot_hold():
    tone = np.sin(2 * np.pi * 12000 * np.arange(RATE) / RATE).astype(np.float32)
    assert measure_levels(resample(tone, RATE, 16000)[1000:-1000]).peak_dbfs < -40


def test_resampling_is_the_same_from_many_threads():
    sound = chirp()
    sound.flags.writeable = False
    expected = resample(sound, RATE, 16000)
    found = [None] * 8

    def work(slot):
        found[slot] = resample(sound, RATE, 16000)

    threads = [threading.Thread(target=work, args=(slot,)) for slot in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(expected, each) for each in found)


def test_sixteen_bits_there_and_back():
    samples = np.array([-32767, -1, 0, 1, 32767], np.int16)
    assert np.array_equal(to_int16(from_int16(samples)), samples)
    loud = np.array([-2.0, -1.0, 1.0, 2.0], np.float32)
    assert to_int16(loud).tolist() == [-32767, -32767, 32767, 32767]


def test_flac_is_lossless():
    samples = to_int16(chirp())
    found, rate = soundfile.read(io.BytesIO(encode_flac(samples, 16000)), dtype="int16")
    assert rate == 16000 and np.array_equal(found, samples)


def test_sha256_is_that_of_the_command_line():
    assert sha256_hex(b"abc").startswith("ba7816bf8f01cfea")


@pytest.mark.skipif(not SHARED_DATA.exists(), reason=f"no recordings at {SHARED_DATA}")
def test_real_recordings_decode_and_are_not_taken_for_truncated():
    recordings = sorted((SHARED_DATA / "esc10" / "audio").glob("*.ogg"))
    clips = sorted((SHARED_DATA / "audioset" / "clips").iterdir())
    assert (len(recordings), len(clips)) == (240, 3)
    for path in [*recordings[::10], *clips]:
        decoded = decode_audio(path.read_bytes(), path.name, None, None, 30.0)
        seconds = 5.0 if path.suffix == ".ogg" else 10.0
        assert decoded.duration_s == pytest.approx(seconds, abs=0.05), path.name
        check_audible(decoded, measure_levels(decoded.waveform), path.name, silence_dbfs=-80.0)
