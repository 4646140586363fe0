"""WAV: what a size in its header means, and codecs whose samples are in blocks."""

import struct

import numpy as np
import pytest
import soundfile

from curation.audio.errors import AudioError
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

STREAMED = [
    0, 0x7FFFFFFF, 0x7FFFFFFF - 36, 0x7FFFF000, 0x7FFFFF9B, 0x80000000, 0xFFFFFFFF, 0xFFFFFFFE,
    0xFFFFFFFF - 44, 0xFFFFF000, 2_000_000_000, 2_000_000_000 - 36,
]  # fmt: skip


def with_size(data, size, riff_size=None):
    at = data.index(b"data") + 4
    data = data[:at] + struct.pack("<I", size) + data[at + 4 :]
    return data if riff_size is None else data[:4] + struct.pack("<I", riff_size) + data[8:]


def error_of(data):
    with pytest.raises(AudioError) as caught:
        decode(data)
    return caught.value.kind, str(caught.value)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_U8", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_every_kind_of_samples(subtype, channels):
    sound = np.stack([chirp() / (n + 1) for n in range(channels)], axis=1)
    data = libsndfile_bytes("WAV", subtype, sound)
    decoded = decode(data)
    assert decoded.duration_s == 5.0
    assert np.abs(decoded.waveform - sound.mean(axis=1)).max() < 0.01
    assert segments_match(data, sound.mean(axis=1), RATE)


@pytest.mark.parametrize("subtype", ["ULAW", "ALAW"])
@pytest.mark.parametrize("format", ["WAV", "WAVEX", "RF64"])
def test_other_layouts(format, subtype):
    data = libsndfile_bytes(format, subtype)
    assert decode(data).duration_s == 5.0
    assert segments_match(data, chirp(), RATE)


def test_big_endian():
    data = libsndfile_bytes("WAV", "PCM_16", endian="BIG")
    assert data.startswith(b"RIFX")
    assert segments_match(data, chirp(), RATE)


@pytest.mark.parametrize("size", STREAMED)
@pytest.mark.parametrize("subtype", ["PCM_16", "MS_ADPCM"])
def test_a_placeholder_means_to_the_end(size, subtype):
    data = libsndfile_bytes("WAV", subtype)
    found = decode(with_size(data, size, min(2**32 - 1, size + 36)))
    assert np.array_equal(found.waveform, decode(data).waveform)


def test_the_size_of_a_pipe_in_64_bits():
    data = libsndfile_bytes("RF64", "PCM_16")
    at = data.index(b"ds64") + 8
    for size in (2**64 - 1, 2**63 - 1):
        piped = data[:at] + struct.pack("<QQQ", size, size, size) + data[at + 24 :]
        assert decode(piped).duration_s == 5.0


@pytest.mark.parametrize("excess", [1, 2, 16, 44, 1000])
def test_a_size_that_is_a_little_too_high(excess):
    data = libsndfile_bytes("WAV", "PCM_16")
    assert decode(with_size(data, 441000 + excess)).duration_s == 5.0


@pytest.mark.parametrize("excess", [2000, 441000, 10**9])
def test_a_file_that_is_cut(excess):
    kind, message = error_of(with_size(libsndfile_bytes("WAV", "PCM_16"), 441000 + excess))
    assert kind == "truncated"
    assert f"the file holds 441000 of the {441000 + excess} bytes of sound in its header" in message


def test_a_chunk_of_samples_that_is_empty():
    data = with_size(libsndfile_bytes("WAV", "PCM_16")[:44], 0)
    listed = data + b"LIST" + struct.pack("<I", 2000) + b"INFO" + bytes(1996)
    kind, message = error_of(listed)
    assert kind == "too_short" and "lasts 0.00 s" in message


def test_chunks_around_the_samples():
    data = libsndfile_bytes("WAV", "PCM_16")
    odd = b"junk" + struct.pack("<I", 5) + b"data\0" + b"\0"
    around = data[:12] + odd + data[12:] + odd + b"id3 " + struct.pack("<I", 8) + bytes(8)
    assert np.array_equal(decode(around).waveform, decode(data).waveform)


def test_joined_files():
    first, second = chirp(2.0), chirp(3.0, from_hz=900.0)
    data = libsndfile_bytes("WAV", "PCM_16", first) + libsndfile_bytes("WAV", "PCM_16", second)
    assert decode(data).duration_s == 5.0
    assert segments_match(data, np.concatenate([first, second]), RATE)


@pytest.mark.parametrize(
    ("subtype", "rate"),
    [("MS_ADPCM", RATE), ("IMA_ADPCM", RATE), ("GSM610", 8000), ("G721_32", 8000)],
)
def test_codecs_in_which_libsndfile_seeks_wrongly(subtype, rate):
    sound = long_chirp(100.0, rate) if rate == 8000 else chirp(rate=rate)
    data = libsndfile_bytes("WAV", subtype, sound, rate)
    whole = decode(data)
    assert whole.duration_s == pytest.approx(len(sound) / rate, abs=0.1)  # the last block is full
    assert similarity(whole.waveform[: len(sound)], sound) > 0.9
    assert segments_match(data, whole.waveform, rate)
    assert error_of(data[: len(data) * 2 // 3])[0] == "truncated"


@pytest.mark.parametrize("codec", ["adpcm_ms", "adpcm_ima_wav", "adpcm_yamaha", "libmp3lame"])
def test_compressed_samples_by_ffmpeg(tmp_path, codec):
    sound = long_chirp(100.0, 16000)
    data = ffmpeg_bytes(tmp_path / "a.wav", codec, sound, 16000)
    whole = decode(data)
    assert whole.duration_s == pytest.approx(100.0, abs=0.2)
    assert segments_match(data, whole.waveform, 16000)


def test_a_file_cut_within_its_header():
    data = libsndfile_bytes("WAV", "PCM_16")
    for size in (11, 13, 30, 43):
        assert error_of(data[:size])[0] in ("unknown_format", "too_short")


def test_the_header_agrees_with_libsndfile_where_it_is_right(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(libsndfile_bytes("WAV", "PCM_16"))
    assert np.array_equal(
        decode(path.read_bytes()).waveform, soundfile.read(path, dtype="float32")[0]
    )
