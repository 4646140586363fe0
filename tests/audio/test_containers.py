"""Containers that FFmpeg reads: whose clock counts, which track, gaps, and what is cut."""

import struct
import threading

import av
import numpy as np
import pytest

from curation.audio import counted_files, formats
from curation.audio.containers import ContainerSound
from curation.audio.counted_files import CountedFiles
from curation.audio.errors import AudioError
from curation.audio.packets import PacketSound
from tests.support.sounds import (
    RATE,
    chirp,
    decode,
    ffmpeg_bytes,
    libsndfile_bytes,
    long_chirp,
    segments_match,
    similarity,
)

LATE = {
    "webm": ("libopus", 48000),
    "mkv": ("aac", RATE),
    "mp4": ("aac", RATE),
    "mov": ("pcm_s16le", RATE),
    "flv": ("aac", RATE),
    "ts": ("aac", RATE),
}


@pytest.mark.parametrize("extension", LATE)
def test_times_count_from_the_beginning_of_the_container(tmp_path, extension):
    codec, rate = LATE[extension]
    path, sound = tmp_path / f"a.{extension}", chirp(rate=rate)
    data = ffmpeg_bytes(path, codec, sound, rate, begin_s=1.5, video_s=7.0, bit_rate=96_000)
    whole = decode(data)
    assert whole.start_s == pytest.approx(1.5, abs=0.03)
    assert whole.end_s == pytest.approx(6.5, abs=0.05)
    for start_s, end_s in ((0.0, 3.0), (2.0, 4.0), (5.0, 7.0)):
        part = decode(data, start_s, end_s)
        assert part.start_s == pytest.approx(max(start_s, 1.5), abs=0.03)
        assert part.end_s == pytest.approx(min(end_s, 6.5), abs=0.05)
        first = round((part.start_s - whole.start_s) * rate)
        assert similarity(part.waveform, whole.waveform[first:]) > 0.999
    with pytest.raises(AudioError, match=r"lasts 5\.\d+ s and begins at 1\.\d+ s: from 0\.00 s"):
        decode(data, 0.0, 1.4)


def test_a_sound_alone_that_begins_late_begins_at_zero(tmp_path):
    data = ffmpeg_bytes(tmp_path / "a.mkv", "aac", begin_s=5.0)
    assert decode(data).start_s == 0.0
    assert decode(data).duration_s == pytest.approx(5.0, abs=0.05)


@pytest.mark.parametrize("extension", ["mp4", "mkv", "mov"])
@pytest.mark.parametrize("default", [0, 1])
def test_of_two_tracks_the_default_one(tmp_path, extension, default):
    sounds = [chirp(3.0), chirp(4.0, from_hz=900.0)]
    path = tmp_path / f"a.{extension}"
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("aac", rate=RATE, layout="mono") for _ in sounds]
        for index, stream in enumerate(streams):
            stream.disposition = av.stream.Disposition.default if index == default else 0
        for stream, sound in zip(streams, sounds, strict=True):
            for start in range(0, len(sound), 1024):
                block = np.ascontiguousarray(sound[None, start : start + 1024])
                frame = av.AudioFrame.from_ndarray(block, "fltp", "mono")
                frame.sample_rate, frame.pts = RATE, start
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    decoded = decode(path.read_bytes())
    assert decoded.duration_s == pytest.approx(3.0 + default, abs=0.05)
    found = np.correlate(decoded.waveform[RATE:], sounds[default][RATE : RATE + 1000])
    assert found.max() > 0.9 * np.dot(*2 * [sounds[default][RATE : RATE + 1000]])


@pytest.mark.parametrize("claimed", [b"00:00:00.100000000", b"00:09:05.000000000"])
def test_a_wrong_duration_in_matroska(tmp_path, claimed):
    data = ffmpeg_bytes(tmp_path / "a.mkv", "flac")
    at = data.index(b"DURATION") + 8
    at = data.index(b"00:00:05", at)
    data = data[:at] + claimed + data[at + len(claimed) :]
    assert decode(data).duration_s == pytest.approx(5.0, abs=0.01)


@pytest.mark.parametrize(
    ("extension", "codec"),
    [("webm", "libopus"), ("mkv", "flac"), ("m4a", "alac"), ("flv", "aac"), ("wma", "wmav2"),
     ("avi", "pcm_s16le"), ("ts", "mp2"), ("aac", "aac"), ("ac3", "ac3")],
)  # fmt: skip
def test_joined_files(tmp_path, extension, codec):
    rate = 48000 if codec == "libopus" else RATE
    sounds = [chirp(4.0, rate), chirp(3.0, rate, from_hz=900.0)]
    files = [
        ffmpeg_bytes(tmp_path / f"{n}.{extension}", codec, sound, rate, bit_rate=96_000)
        for n, sound in enumerate(sounds)
    ]
    single_s = [decode(data).duration_s for data in files]
    decoded = decode(b"".join(files))
    assert decoded.duration_s == pytest.approx(sum(single_s), abs=0.01)
    middle = round(single_s[0] * rate)
    assert similarity(decoded.waveform[middle:], decode(files[1]).waveform) > 0.99
    assert segments_match(b"".join(files), decoded.waveform, rate)


# The position of a header's sizes, their type, and what the size of a chunk counts of its header.
SIZES = {"AU": (b".snd", 8, ">I", 0), "AIFF": (b"SSND", 4, ">I", 0),
         "CAF": (b"data", 4, ">Q", 0), "W64": (b"data\xf3", 16, "<Q", 24)}  # fmt: skip


@pytest.mark.parametrize("format", SIZES)
@pytest.mark.parametrize("seconds", [5.0, 20.0])
@pytest.mark.parametrize("size", [0, 2**31 - 1, 2**32 - 1, 2**63 - 1, 2**64 - 1])
def test_a_placeholder_of_a_size_means_to_the_end(format, seconds, size):
    name, offset, type_, own = SIZES[format]
    sound = long_chirp(seconds)
    data = bytearray(libsndfile_bytes(format, "PCM_16", sound, 8000))
    size = min(size, 2 ** (8 * struct.calcsize(type_)) - 1)
    struct.pack_into(type_, data, data.index(name) + offset, size)
    assert decode(bytes(data)).duration_s == seconds
    assert segments_match(bytes(data), sound, 8000)


def test_a_wave64_written_to_a_pipe():
    sound = long_chirp(20.0)
    data = bytearray(libsndfile_bytes("W64", "PCM_16", sound, 8000))
    struct.pack_into("<Q", data, 16, 2**64 - 1)
    struct.pack_into("<Q", data, data.index(b"data\xf3") + 16, 2**64 - 1)
    assert segments_match(bytes(data), sound, 8000)


@pytest.mark.parametrize("format", SIZES)
def test_a_size_that_is_far_too_high_is_truncation(format):
    data = libsndfile_bytes(format, "PCM_16", long_chirp(5.0), 8000)
    with pytest.raises(AudioError, match="bytes of sound in its header") as caught:
        decode(data[:-20_000])
    assert caught.value.kind == "truncated"


@pytest.mark.parametrize("format", ["AU", "AIFF", "CAF", "W64"])
def test_joined_files_of_plain_samples(format):
    data = b"".join(libsndfile_bytes(format, "PCM_16", chirp(s)) for s in (2.0, 3.0))
    sound = np.concatenate([chirp(2.0), chirp(3.0)])
    assert decode(data).duration_s == 5.0
    assert segments_match(data, sound, RATE)


def mux_with_gap(path, gap_s, seconds):
    """A tone whose second half is late by `gap_s`."""
    sound = long_chirp(seconds, 48000)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("flac", rate=48000, layout="mono")
        half = len(sound) // 2 // 4608 * 4608
        for start in range(0, len(sound), 4608):
            samples = (sound[None, start : start + 4608] * 32767).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(samples, "s16", "mono")
            frame.sample_rate = 48000
            frame.pts = start + (round(gap_s * 48000) if start >= half else 0)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path.read_bytes(), sound, half


@pytest.mark.parametrize("seconds", [10.0, 90.0])
def test_a_gap_is_silence(tmp_path, seconds):
    data, sound, half = mux_with_gap(tmp_path / "a.mkv", 2.0, seconds)
    silence = np.zeros(96000, np.float32)
    expected = np.concatenate([sound[:half], silence, sound[half:]])
    assert decode(data).duration_s == pytest.approx(seconds + 2.0, abs=0.01)
    assert similarity(decode(data).waveform, expected) > 0.99
    start_s = half / 48000 + 1.0
    part = decode(data, start_s, start_s + 3.0)
    assert similarity(part.waveform, expected[half + 48000 :]) > 0.99


@pytest.mark.parametrize("seconds", [10.0, 90.0])
def test_a_clock_that_jumps_is_not_used(tmp_path, seconds):
    data, sound, _ = mux_with_gap(tmp_path / "a.mkv", 90_000.0, seconds)
    assert decode(data).duration_s == pytest.approx(seconds, abs=0.01)
    assert segments_match(data, sound, 48000)


@pytest.mark.parametrize("seconds", [40.0, 100.0])
def test_a_damaged_packet_fails_its_segment_alone(tmp_path, seconds):
    sound = long_chirp(seconds)
    data = bytearray(ffmpeg_bytes(tmp_path / "a.mkv", "flac", sound, 8000))
    with av.open(str(tmp_path / "a.mkv")) as container:
        packets = [bytes(packet) for packet in container.demux(audio=0) if packet.size]
    at = data.index(packets[len(packets) // 2])
    data[at : at + 200] = bytes(200)
    assert similarity(decode(bytes(data), 10.0, 20.0).waveform, sound[80_000:]) > 0.99
    with pytest.raises(AudioError, match="its sound at .* s is damaged"):
        decode(bytes(data))


def test_raw_packets_are_decoded_where_they_lie(tmp_path):
    data = ffmpeg_bytes(tmp_path / "a.aac", "aac", long_chirp(20.0), 8000)
    assert isinstance(formats.count_sound(data, "a"), PacketSound)
    assert segments_match(data, decode(data).waveform, 8000)


@pytest.mark.parametrize("seconds", [20.0, 600.0])
@pytest.mark.parametrize(("extension", "codec"), [("m4a", "alac"), ("mkv", "flac")])
def test_a_sound_longer_than_clips_is_not_decoded_to_be_counted(
    tmp_path, monkeypatch, extension, codec, seconds
):
    data = ffmpeg_bytes(tmp_path / f"a.{extension}", codec, long_chirp(seconds), 8000)
    decoded = []
    iterate = formats.count_container.__globals__["iter_placed_frames"]

    def counting(*arguments):
        for placed in iterate(*arguments):
            decoded.append(placed)
            yield placed

    monkeypatch.setitem(formats.count_container.__globals__, "iter_placed_frames", counting)
    sound = formats.count_sound(data, "a")
    assert isinstance(sound, ContainerSound) and sound.waveform is None
    assert sound.frames == pytest.approx(seconds * 8000, abs=4096)
    assert sum(placed.samples for placed in decoded) < 10 * 8000


@pytest.mark.parametrize("seconds", [1.0, 60.0])
def test_a_file_is_counted_once_for_all_of_its_clips(monkeypatch, seconds):
    counted = []
    data = libsndfile_bytes("OGG", "VORBIS", long_chirp(seconds))

    def counting(data, name):
        counted.append(name)
        return formats.count_sound(data, name)

    monkeypatch.setattr(counted_files, "count_sound", counting)
    kept = CountedFiles()
    threads = [
        threading.Thread(target=kept.count, args=(data, f"clip {n}", "hash")) for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(counted) == 1
    kept.count(data, "another file", "other hash")
    kept.count(data, "without a hash", None)
    assert len(counted) == 3


def test_a_file_that_cannot_be_counted_fails_each_of_its_clips_by_name():
    data = libsndfile_bytes("WAV", "FLOAT", long_chirp(60.0))[:-5000]
    for name in ("first", "second"):
        with pytest.raises(AudioError, match=f"{name} is truncated"):
            CountedFiles().count(data, name, "hash")
