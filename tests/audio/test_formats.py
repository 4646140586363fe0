"""Every extension that is listed can be decoded, and segments of a file are parts of its whole."""

import numpy as np
import pytest
import scipy.signal

from curation.audio.errors import AudioError
from curation.audio.extensions import DECODABLE_EXTENSIONS
from tests.support.sounds import (
    decode,
    ffmpeg_bytes,
    libsndfile_bytes,
    long_chirp,
    segments_match,
    similarity,
)

BY_LIBSNDFILE = {
    "wav": ("WAV", "PCM_16"), "wave": ("WAVEX", "PCM_24"), "bwf": ("WAV", "PCM_16"),
    "rf64": ("RF64", "PCM_16"), "w64": ("W64", "PCM_16"), "aif": ("AIFF", "PCM_16"),
    "aiff": ("AIFF", "PCM_24"), "aifc": ("AIFF", "IMA_ADPCM"), "au": ("AU", "PCM_16"),
    "snd": ("AU", "G721_32"), "caf": ("CAF", "ALAC_16"), "flac": ("FLAC", "PCM_16"),
    "ogg": ("OGG", "VORBIS"), "opus": ("OGG", "OPUS"), "mp3": ("MP3", "MPEG_LAYER_III"),
    "voc": ("VOC", "PCM_16"), "sph": ("NIST", "PCM_16"),
    "nist": ("NIST", "ULAW"), "ircam": ("IRCAM", "PCM_16"), "8svx": ("SVX", "PCM_16"),
    "svx": ("SVX", "PCM_S8"), "paf": ("PAF", "PCM_16"), "avr": ("AVR", "PCM_16"),
    "pvf": ("PVF", "PCM_16"), "gsm": ("RAW", "GSM610"), "sds": ("SDS", "PCM_16"),
    "wve": ("WVE", "ALAW"),
}  # fmt: skip
# The codec, and FFmpeg's name of the format where the extension does not tell.
BY_FFMPEG = {
    "3g2": ("aac", None), "3gp": ("aac", None), "aac": ("aac", None), "ac3": ("ac3", None),
    "amr": ("libopencore_amrnb", None), "asf": ("wmav2", None), "avi": ("libmp3lame", None),
    "eac3": ("eac3", None), "f4v": ("aac", None), "flv": ("aac", None), "m2ts": ("ac3", "mpegts"),
    "m4a": ("aac", None), "m4b": ("alac", "ipod"), "mka": ("aac", None), "mkv": ("flac", None),
    "mov": ("pcm_s16le", None), "mp2": ("mp2", None), "mp4": ("aac", None), "mpg": ("mp2", None),
    "oga": ("flac", None), "ogx": ("libopus", "ogg"), "ts": ("mp2", None), "tta": ("tta", None),
    "vob": ("ac3", None), "webm": ("libopus", None), "wma": ("wmav1", "asf"),
    "wv": ("wavpack", None),
}  # fmt: skip
# Other names of the same formats.
ALIASES = set(
    """
    3gpp adts amb divx f4a m2a m2p m2t m4p m4r m4v mj2 mk3d mogg mp4a mpa mpe mpeg mpga mts ogm ogv
    iff qt sf weba wmv
    """.split()
)
# Nothing here writes these; real ones were decoded by hand, or their codec in another container.
UNWRITABLE = {"ape", "awb", "dff", "dsf", "dts", "mp1", "mpc", "spx", "tak"}
RATES = {
    "gsm": 8000,
    "amr": 8000,
    "snd": 8000,
    "wve": 8000,
    "sds": 8000,
    "opus": 48000,
    "webm": 48000,
    "ogx": 48000,
}
# Nothing in such a file tells how long it should be, if it is not cut within a frame.
OPEN_ENDED = {"amr", "gsm", "mp2", "mpg", "vob"}
# Those whose header libsndfile replaces by what is there.
UNCHECKED = {"avr", "ircam", "nist", "paf", "pvf", "sds", "sph", "voc", "wve"}


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    folder = tmp_path_factory.mktemp("formats")

    def encode(extension, seconds):
        rate = RATES.get(extension, 32000)
        sound = long_chirp(seconds, rate)
        if extension in BY_LIBSNDFILE:
            return libsndfile_bytes(*BY_LIBSNDFILE[extension], sound, rate), sound, rate
        codec, format = BY_FFMPEG[extension]
        path = folder / f"{seconds}.{extension}"
        options = {"strict": "experimental"}
        layout, bit_rate = ("mono", 12_200) if extension == "amr" else ("stereo", 64_000)
        return (
            ffmpeg_bytes(
                path, codec, sound, rate, options, format=format, layout=layout, bit_rate=bit_rate
            ),
            sound,
            rate,
        )

    return encode


def test_every_extension_is_tried_here():
    assert set(BY_LIBSNDFILE) | set(BY_FFMPEG) | ALIASES | UNWRITABLE == DECODABLE_EXTENSIONS


@pytest.mark.parametrize("extension", sorted({*BY_LIBSNDFILE, *BY_FFMPEG}))
@pytest.mark.parametrize("seconds", [4.0, 70.0])
def test_the_whole_sound_and_its_segments(make, extension, seconds):
    data, sound, rate = make(extension, seconds)
    whole = decode(data)
    assert whole.sample_rate_hz == rate
    assert whole.duration_s == pytest.approx(seconds, abs=0.13)  # what encoders and blocks pad
    late = find_delay(whole.waveform, sound)
    assert similarity(whole.waveform[max(0, late) :], sound[max(0, -late) :]) > 0.95
    # WebM tells time in milliseconds.
    assert segments_match(data, whole.waveform, rate, 48 if extension == "webm" else 0)


def find_delay(found, sound):
    """The samples by which an encoder made the sound late, or its decoder early."""
    return int(np.argmax(scipy.signal.correlate(found, sound, method="fft"))) - (len(sound) - 1)


@pytest.mark.parametrize("extension", sorted({*BY_LIBSNDFILE, *BY_FFMPEG} - OPEN_ENDED - UNCHECKED))
@pytest.mark.parametrize("seconds", [4.0, 70.0])
def test_a_file_that_is_cut(make, extension, seconds):
    data, _, _ = make(extension, seconds)
    with pytest.raises(AudioError) as caught:
        decode(data[: len(data) * 3 // 5 + 1])
    assert caught.value.kind == "truncated"
