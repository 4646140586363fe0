"""MP3: the frames say how long it is, whatever a tag says."""

import struct

import numpy as np
import pytest

from curation.audio.errors import AudioError
from curation.audio.mpeg_header import FRAMES_BY_HEAD, read_encoder_tag, skip_tags
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

FRAME_S = 1152 / RATE


@pytest.fixture(scope="module")
def vbr():
    return libsndfile_bytes("MP3", bitrate_mode="VARIABLE", compression_level=0.6)


def first_frame_bytes(data):
    return FRAMES_BY_HEAD[data[:3]][0]


def without_tag(data):
    return data[first_frame_bytes(data) :]


def with_frames_field(data, frames):
    at = data.index(b"Xing") + 8
    return data[:at] + struct.pack(">I", frames) + data[at + 4 :]


def count_frames(data):
    count, at = 0, 0
    while at < len(data):
        at += FRAMES_BY_HEAD[data[at : at + 3]][0]
        count += 1
    return count


def id3(size):
    """A tag with a picture in which frames of MP3 seem to begin."""
    body = (b"\xff\xfb\x90\x64" + bytes(100)) * (size // 104)
    size = len(body)
    sizes = bytes([size >> 21 & 127, size >> 14 & 127, size >> 7 & 127, size & 127])
    return b"ID3\x03\x00\x00" + sizes + body


def error_of(data):
    with pytest.raises(AudioError) as caught:
        decode(data)
    return caught.value.kind, str(caught.value)


def test_the_sound_is_exact_with_the_tag_of_its_encoder(vbr):
    decoded = decode(vbr)
    assert decoded.duration_s == pytest.approx(5.0, abs=1e-4)
    assert similarity(decoded.waveform, chirp()) > 0.999
    assert segments_match(vbr, chirp(), RATE)


def test_without_a_tag_every_frame_counts(vbr):
    data = without_tag(vbr)
    decoded = decode(data)
    assert decoded.duration_s == pytest.approx(count_frames(data) * FRAME_S)
    late = read_encoder_tag(vbr[: first_frame_bytes(vbr)]).delay
    assert similarity(decoded.waveform[late:], chirp()) > 0.999


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 2.0, 100.0])
def test_a_wrong_number_of_frames_in_the_tag(vbr, share):
    data = with_frames_field(vbr, int(count_frames(vbr) * share))
    assert decode(data).duration_s == pytest.approx(5.0, abs=1e-4)
    assert segments_match(data, chirp(), RATE)


def test_a_cover_picture_before_frames_of_one_length(tmp_path):
    options = {"write_xing": "0", "id3v2_version": "0"}
    data = ffmpeg_bytes(tmp_path / "a.mp3", "libmp3lame", options=options)
    for size in (300, 500_000):
        pictured = id3(size) + data
        assert decode(pictured).duration_s == decode(data).duration_s
        assert np.array_equal(decode(pictured, 1.0, 2.0).waveform, decode(data, 1.0, 2.0).waveform)


def test_a_tag_whose_size_is_wrong(vbr):
    assert decode(b"ID3\x03\x00\x00\x7f\x7f\x7f\x7f" + vbr).duration_s == pytest.approx(5.0)


@pytest.mark.parametrize("between", [b"", b"TAG" + bytes(125), id3(20_000)])
def test_joined_files_are_decoded_to_their_end(between):
    first, second = chirp(3.0), chirp(4.0, from_hz=900.0)
    data = between.join(libsndfile_bytes("MP3", sound=sound) for sound in (first, second))
    decoded = decode(data)
    assert decoded.duration_s == pytest.approx(7.0, abs=1e-3)
    assert similarity(decoded.waveform, np.concatenate([first, second])) > 0.999
    assert similarity(decode(data, 4.0, 6.0).waveform, second[RATE:]) > 0.999


def test_joined_files_of_different_rates_and_channels():
    first, second = chirp(2.0), chirp(3.0, 22050, from_hz=900.0)
    data = libsndfile_bytes("MP3", sound=first) + libsndfile_bytes(
        "MP3", sound=np.stack([second, second], axis=1), rate=22050
    )
    decoded = decode(data)
    assert decoded.sample_rate_hz == RATE
    assert decoded.duration_s == pytest.approx(5.0, abs=1e-3)
    assert similarity(decode(data, 3.0, 4.0).waveform, chirp(3.0, from_hz=900.0)[RATE:]) > 0.999


def test_a_vbri_tag_is_no_sound(vbr):
    plain = without_tag(vbr)
    frames = count_frames(plain)
    tag = bytearray(plain[:4] + bytes(413))  # a frame of 128 kbit/s
    tag[:4] = b"\xff\xfb\x90\xc4"
    tag[36:54] = b"VBRI" + struct.pack(">HHHII", 1, 0, 0, len(plain), frames)
    data = bytes(tag) + plain
    assert first_frame_bytes(data) == len(tag)
    assert np.array_equal(decode(data).waveform, decode(plain).waveform)


def test_a_file_that_is_cut(vbr):
    kind, message = error_of(vbr[: len(vbr) // 2])
    assert (
        kind == "truncated" and "its header claims 5.0" in message and "its frames end" in message
    )
    # Between two frames: the tag states more bytes as well as more frames.
    at = first_frame_bytes(vbr)
    while at < len(vbr) // 2:
        at += first_frame_bytes(vbr[at:])
    assert error_of(vbr[:at])[0] == "truncated"


def test_junk_before_and_between_frames(vbr):
    plain = without_tag(vbr)
    at = 0
    while at < len(plain) // 2:
        at += first_frame_bytes(plain[at:])
    junk = bytes(range(200)) * 10
    assert decode(junk + plain).duration_s == decode(plain).duration_s
    assert decode(plain[:at] + junk[:200] + plain[at:]).duration_s == decode(plain).duration_s


def test_a_hole_of_zeros(vbr):
    """As in a download that was not finished."""
    middle = len(vbr) // 2
    holed = vbr[:middle] + bytes(5000) + vbr[middle + 5000 :]
    for data in (holed, vbr[:middle] + bytes(len(vbr) - middle)):
        kind, message = error_of(data)
        assert kind == "truncated" and "its header claims 5.0" in message
    kind, message = error_of(without_tag(holed))
    assert kind == "truncated" and "s are no sound" in message


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
@pytest.mark.parametrize("bits", [16_000, 64_000])
def test_a_segment_of_a_long_file_in_every_version(tmp_path, rate, bits):
    sound = long_chirp(20.0, rate)
    path = tmp_path / "a.mp3"
    data = ffmpeg_bytes(path, "libmp3lame", sound, rate, bit_rate=bits, layout="mono")
    assert decode(data).duration_s == pytest.approx(20.0, abs=1e-3)
    assert segments_match(data, sound, rate)


def test_layer_two(tmp_path):
    data = ffmpeg_bytes(tmp_path / "a.mp2", "mp2")
    assert decode(data).duration_s == pytest.approx(5.0, abs=0.03)
    late = 481  # of the filter bank, which nothing in the file tells
    assert similarity(decode(data).waveform[late:], chirp()) > 0.999


def test_tags_are_skipped_by_their_size():
    ape = b"APETAGEX" + struct.pack("<IIII", 2000, 64, 1, 0x80000000) + bytes(8)
    data = id3(1000) + ape + bytes(64) + b"TAG" + bytes(125) + b"rest"
    assert data[skip_tags(data, 0) :] == b"rest"
