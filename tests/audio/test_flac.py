"""FLAC: the last block says where the sound ends, whatever the header says."""

import io
import struct

import av
import numpy as np
import pytest

from curation.audio.errors import AudioError
from tests.support.sounds import (
    RATE,
    chirp,
    decode,
    libsndfile_bytes,
    long_chirp,
    segments_match,
    similarity,
)


def flac(sound, rate=RATE):
    return libsndfile_bytes("FLAC", "PCM_16", sound, rate)


def with_length(data, frames):
    """The file with another number of samples in its header."""
    (bits,) = struct.unpack(">Q", data[18:26])
    return data[:18] + struct.pack(">Q", bits >> 36 << 36 | frames) + data[26:]


def noise(seconds, seed):
    samples = np.random.default_rng(seed).standard_normal(int(seconds * RATE))
    return (samples / 10).astype(np.float32)


def test_joined_files():
    first, second = chirp(2.0), chirp(3.0, from_hz=900.0)
    data = flac(first) + flac(second)
    decoded = decode(data)
    assert decoded.duration_s == 5.0
    assert np.abs(decoded.waveform - np.concatenate([first, second])).max() < 1e-4
    assert (
        np.abs(decode(data, 1.5, 4.5).waveform[RATE // 2 :] - second[: 5 * RATE // 2]).max() < 1e-4
    )


@pytest.mark.parametrize("seconds", [(15.0, 15.0), (15.0, 4.0, 15.0), (3.0, 27.0), (27.0, 3.0)])
def test_joined_files_of_some_megabytes(seconds):
    """Large files are searched at some places only."""
    sounds = [noise(length, seed) for seed, length in enumerate(seconds)]
    data = b"".join(map(flac, sounds))
    assert len(data) > 2**21
    assert decode(data, None, None, 5.0).start_s == pytest.approx((sum(seconds) - 5.0) / 2)
    assert segments_match(data, np.concatenate(sounds), RATE)


def test_a_large_file_is_one_file():
    sound = noise(40.0, 0)
    assert segments_match(flac(sound), sound, RATE)


def test_joined_files_whose_rate_and_channels_change():
    second = chirp(2.0, 22050, from_hz=900.0)
    data = flac(chirp(2.0)) + flac(np.stack([second, second], axis=1), 22050)
    decoded = decode(data)
    assert (decoded.sample_rate_hz, decoded.duration_s) == (RATE, 4.0)
    assert (
        similarity(decode(data, 2.5, 4.0).waveform, chirp(2.0, from_hz=900.0)[RATE // 2 :]) > 0.99
    )


@pytest.mark.parametrize("frames", [0, 1, RATE, 100 * RATE, 2**36 - 1])
@pytest.mark.parametrize("seconds", [5.0, 40.0])
def test_a_wrong_length_in_the_header(frames, seconds):
    sound = noise(seconds, 1)
    data = with_length(flac(sound), frames)
    decoded = decode(data)
    assert decoded.duration_s == seconds
    assert np.abs(decoded.waveform - sound).max() < 1e-4
    assert segments_match(data, sound, RATE)


@pytest.mark.parametrize("frames", [None, 0, 2 * RATE])
@pytest.mark.parametrize("lost", [1, 100, 60_000])
def test_a_file_that_is_cut(frames, lost):
    data = flac(noise(5.0, 2))
    data = data if frames is None else with_length(data, frames)
    with pytest.raises(AudioError) as caught:
        decode(data[:-lost])
    assert caught.value.kind == "truncated"


def test_a_tag_before_and_after():
    data = flac(chirp())
    tag = b"ID3\x03\x00\x00\x00\x00\x08\x00" + bytes(1024)
    for tagged in (tag + data, data + b"TAG" + bytes(125), tag + data + b"TAG" + bytes(125)):
        assert np.array_equal(decode(tagged).waveform, decode(data).waveform)


def test_silence_of_minutes():
    """Blocks of a few bytes."""
    assert decode(flac(np.zeros(300 * 8000, np.float32), 8000)).duration_s == 300.0


def test_blocks_of_changing_size():
    assert decode(flac(chirp(0.5))).duration_s == 0.5


@pytest.mark.parametrize("seconds", [5.0, 40.0])
def test_a_file_cut_by_copying_its_blocks(seconds):
    """The first block is not that of the stream, whose length is still in the header."""
    sound = long_chirp(seconds)
    data = libsndfile_bytes("FLAC", "PCM_16", sound, 8000)
    with av.open(io.BytesIO(data)) as container:
        blocks = [bytes(packet) for packet in container.demux() if packet.size]
    cut = data[: data.index(blocks[0])] + b"".join(blocks[3:])
    assert decode(cut).duration_s == pytest.approx(seconds - 3 * 4096 / 8000, abs=1e-3)
    assert similarity(decode(cut).waveform, sound[3 * 4096 :]) > 0.99
    assert segments_match(cut, sound[3 * 4096 :], 8000)


def test_a_hole_of_zeros_at_the_end():
    """As in a download that was not finished."""
    data = flac(noise(5.0, 2))
    with pytest.raises(AudioError, match="its header claims 5.00 s, but its last whole block"):
        decode(data[:-60_000] + bytes(60_000))
