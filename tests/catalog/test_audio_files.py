"""Extensions that are taken for audio: the docs list them, and sounds written by them decode."""

import io
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from curation.audio.decode import decode_audio
from curation.audio.extensions import DECODABLE_EXTENSIONS
from tests.support.paths import REPOSITORY

RATE_HZ = 16000
# By libsndfile, with its name of the format.
SNDFILE = {
    "aif": "AIFF", "aifc": "AIFF", "aiff": "AIFF", "au": "AU", "avr": "AVR", "bwf": "WAV",
    "caf": "CAF", "flac": "FLAC", "ircam": "IRCAM", "mp3": "MP3", "nist": "NIST", "oga": "OGG",
    "ogg": "OGG", "paf": "PAF", "pvf": "PVF", "rf64": "RF64", "sds": "SDS", "sf": "IRCAM",
    "snd": "AU", "sph": "NIST", "svx": "SVX", "voc": "VOC", "w64": "W64", "wav": "WAV",
    "wave": "WAV",
}  # fmt: skip
# By FFmpeg, with its names of the container and the codec.
FFMPEG = {
    **dict.fromkeys(("3g2", "3gp"), ("3gp", "aac")),
    **dict.fromkeys(("aac", "adts"), ("adts", "aac")),
    **dict.fromkeys(("asf", "wma", "wmv"), ("asf", "wmav2")),
    **dict.fromkeys(("avi", "divx"), ("avi", "mp2")),
    **dict.fromkeys(("f4a", "f4v", "m4a", "m4b", "m4r", "m4v", "mp4"), ("mp4", "aac")),
    **dict.fromkeys(("m2a", "mp2", "mpa"), ("mp2", "mp2")),
    **dict.fromkeys(("m2ts", "mts", "ts"), ("mpegts", "mp2")),
    **dict.fromkeys(("mka", "mkv"), ("matroska", "aac")),
    **dict.fromkeys(("mov", "qt"), ("mov", "aac")),
    **dict.fromkeys(("mpeg", "mpg"), ("mpeg", "mp2")),
    "vob": ("vob", "mp2"),
    **dict.fromkeys(("ogv", "ogx", "opus"), ("ogg", "libopus")),
    **dict.fromkeys(("weba", "webm"), ("webm", "libopus")),
}


@pytest.mark.parametrize("extension", sorted(SNDFILE))
def test_what_libsndfile_writes_is_decoded(extension: str) -> None:
    file = io.BytesIO()
    soundfile.write(file, tone(), RATE_HZ, format=SNDFILE[extension])
    check_decodes(file.getvalue(), extension)


@pytest.mark.parametrize("extension", sorted(FFMPEG))
def test_what_ffmpeg_writes_is_decoded(extension: str, tmp_path: Path) -> None:
    container_format, codec = FFMPEG[extension]
    path = tmp_path / f"x.{extension}"
    with av.open(str(path), "w", format=container_format) as container:
        rate = 48000 if codec == "libopus" else RATE_HZ
        stream = container.add_stream(codec, rate=rate, layout="mono")
        stream.bit_rate = 64_000
        frame = av.AudioFrame.from_ndarray(tone()[None], format="fltp", layout="mono")
        frame.sample_rate = RATE_HZ
        resampler = av.AudioResampler(stream.format, "mono", rate, stream.frame_size or 1024)
        for part in (*resampler.resample(frame), *resampler.resample(None)):
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    check_decodes(path.read_bytes(), extension)


def test_every_extension_stands_in_the_docs() -> None:
    text = (REPOSITORY / "docs" / "catalogs.md").read_text()
    block = text.partition("are listed as audio")[2].partition("\n\n")[2].partition("\n\n")[0]
    assert sorted(block.split()) == sorted(DECODABLE_EXTENSIONS)


def tone() -> np.ndarray:
    return (np.sin(np.arange(2 * RATE_HZ) / 6) / 2).astype(np.float32)


def check_decodes(data: bytes, extension: str) -> None:
    assert extension in DECODABLE_EXTENSIONS
    decoded = decode_audio(data, f"x.{extension}", None, None, 10.0)
    assert decoded.duration_s == pytest.approx(2.0, abs=0.3)
    assert np.sqrt(np.mean(np.square(decoded.waveform))) == pytest.approx(0.354, rel=0.1)
