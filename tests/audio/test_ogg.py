"""Ogg: every page counts, whatever marks its stream's end, and a chain is one sound."""

import struct

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


def split_pages(data):
    pages, at = [], 0
    while at < len(data):
        count = data[at + 26]
        end = at + 27 + count + sum(data[at + 27 : at + 27 + count])
        pages.append(data[at:end])
        at = end
    return pages


def with_flags(page, flags):
    """The page with other flags, and its checksum, which is CRC-32 without reflection."""
    return with_checksum(page[:5] + bytes([flags]) + page[6:])


def with_checksum(page):
    page = page[:22] + bytes(4) + page[26:]
    value = 0
    for byte in page:
        value ^= byte << 24
        for _ in range(8):
            value = (value << 1 ^ (0x104C11DB7 if value & 0x80000000 else 0)) & 0xFFFFFFFF
    return page[:22] + struct.pack("<I", value) + page[26:]


def vorbis(sound, rate=RATE):
    return libsndfile_bytes("OGG", "VORBIS", sound, rate)


def opus(sound, rate=48000):
    return libsndfile_bytes("OGG", "OPUS", sound, rate)


@pytest.fixture(scope="module")
def pages():
    return split_pages(vorbis(long_chirp(60.0), 8000))


@pytest.mark.parametrize(("encode", "rate"), [(vorbis, RATE), (opus, 48000)])
def test_a_chain_of_streams(encode, rate):
    first, second = chirp(2.0, rate), chirp(3.0, rate, from_hz=900.0)
    data = encode(first) + encode(second) + encode(first)
    decoded = decode(data)
    assert decoded.duration_s == pytest.approx(7.0, abs=1e-3)
    sound = np.concatenate([first, second, first])
    assert similarity(decoded.waveform, sound) > 0.99
    assert similarity(decode(data, 2.5, 4.5).waveform, second[rate // 2 :]) > 0.99
    assert segments_match(data, sound, rate)


def test_a_chain_of_one_stream_twice():
    data = vorbis(chirp())
    assert decode(data + data).duration_s == pytest.approx(10.0, abs=1e-3)


def test_a_chain_whose_rate_changes():
    data = vorbis(chirp(2.0)) + vorbis(chirp(2.0, 22050, from_hz=900.0), 22050)
    decoded = decode(data)
    assert (decoded.sample_rate_hz, decoded.duration_s) == (RATE, pytest.approx(4.0, abs=1e-3))
    assert similarity(decode(data, 2.0, 4.0).waveform, chirp(2.0, from_hz=900.0)) > 0.99


@pytest.mark.parametrize("encode", [vorbis, opus])
def test_no_mark_of_the_end(encode):
    rate = RATE if encode is vorbis else 48000
    *others, last = split_pages(encode(chirp(rate=rate)))
    data = b"".join(others) + with_flags(last, last[5] & ~4)
    assert decode(data).duration_s == pytest.approx(5.0, abs=1e-3)
    assert segments_match(data, chirp(rate=rate), rate)


@pytest.mark.parametrize("place", [2, -4])
def test_pages_after_a_first_mark_of_the_end(pages, place):
    marked = list(pages)
    marked[place] = with_flags(pages[place], pages[place][5] | 4)
    data = b"".join(marked)
    assert decode(data).duration_s == pytest.approx(60.0, abs=1e-3)
    assert segments_match(data, long_chirp(60.0), 8000)


def test_whole_pages_are_not_truncation(pages):
    kept = len(pages) // 2
    data = b"".join(pages[:kept])
    (granule,) = struct.unpack_from("<q", pages[kept - 1], 6)
    assert decode(data).duration_s == pytest.approx(granule / 8000, abs=1e-3)
    assert segments_match(data, long_chirp(60.0)[:granule], 8000)


@pytest.mark.parametrize(("seconds", "rate"), [(8.0, RATE), (60.0, 8000)])
def test_a_file_cut_by_copying_its_packets(seconds, rate):
    """The first page holds packets from before the cut, as its time says."""
    sound = long_chirp(seconds, rate)
    pages = split_pages(vorbis(sound, rate))
    kept = [page for page in pages if page[6:14] in (bytes(8), b"\xff" * 8)]  # of headers
    audio = pages[len(kept) + 1 :]
    shift = struct.unpack_from("<q", audio[0], 6)[0] - 2000
    for page in audio:
        granule, serial, _ = struct.unpack_from("<qII", page, 6)
        place = struct.pack("<qII", granule - shift, serial, len(kept))
        kept.append(with_checksum(page[:6] + place + page[22:]))
    data = b"".join(kept)
    assert decode(data).duration_s == pytest.approx(seconds - shift / rate, abs=1e-3)
    assert similarity(decode(data).waveform, sound[shift:]) > 0.99
    assert segments_match(data, sound[shift:], rate)


@pytest.mark.parametrize("lost", [1, 3, 26, 28, 1000])
def test_a_page_that_is_cut(pages, lost):
    data = b"".join(pages)
    cut = data[: len(data) - len(pages[-1]) + len(pages[-1]) * 2 // 3] if lost == 1000 else None
    cut = cut or b"".join(pages[:-1]) + pages[-1][:lost]
    with pytest.raises(AudioError, match="its last page, at byte .* is cut") as caught:
        decode(cut)
    assert caught.value.kind == "truncated"


def test_a_page_that_is_missing(pages):
    data = b"".join(pages[:4] + pages[5:])
    with pytest.raises(AudioError, match="page 4 of stream .* is missing") as caught:
        decode(data)
    assert caught.value.kind == "truncated"


def test_what_follows_the_last_page_is_not_sound(pages):
    data = b"".join(pages)
    assert np.array_equal(decode(data + bytes(500)).waveform, decode(data).waveform)


def test_a_page_that_is_damaged(pages):
    damaged = bytearray(pages[5])
    damaged[100] ^= 1
    with pytest.raises(AudioError) as caught:
        decode(b"".join([*pages[:5], bytes(damaged), *pages[6:]]))
    assert caught.value.kind == "truncated"


def test_a_hole_of_zeros_at_the_end(pages):
    """As in a download that was not finished."""
    with pytest.raises(AudioError, match="the 5000 bytes after its last page are no page"):
        decode(b"".join(pages[:-1]) + bytes(5000))
