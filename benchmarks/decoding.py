"""Real sound files against ffmpeg, and what counting costs: docs/catalogs.md has the table.

Every sound file of some Debian packages, and the recordings of ../shared/data, are decoded here and
by the `ffmpeg` command: lengths must agree within a frame and waveforms correlate above .99, and a
file that ffmpeg plays must not be an error. Two of the packages hold sound files within archives,
which are copied out of these. What is not installed is left out.

Then clips of ten seconds are read, hashed and decoded, from files of a second to an hour, here and
by the revision that read lengths from headers: `slowdown` is the greatest ratio of CPU time.

    python -m benchmarks.decoding [--files 0] [--rounds 5] [--revision c5d4452] [--processes 1]
"""

import argparse
import collections
import inspect
import json
import os
import re
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import scipy.signal
import soundfile

from curation import console
from curation.audio.decode import AudioError, decode_audio, sha256_hex
from tests.support.paths import REPOSITORY, SHARED_DATA

PACKAGES = [
    "klettres-data", "tuxpaint-stamps-default", "sonic-pi-samples", "gcompris-qt-data",
    "openttd-opensfx",
]  # fmt: skip
EXTENSIONS = {".ogg", ".oga", ".opus", ".mp3", ".flac", ".wav", ".m4a", ".webm", ".mp4"}
MIN_CORRELATION = 0.99
# A block of Vorbis, two frames of AAC or one of FLAC, in samples.
FRAME_SAMPLES = {".flac": 4608}
DEFAULT_FRAME_SAMPLES = 2048
MIN_DURATION_S = 0.1
RATE = 44100
CLIP_S = 10.0
LENGTHS_S = {"1 s": 1, "10 s": 10, "45 s": 45, "5 min": 300, "1 h": 3600}
KINDS = ("wav", "flac", "ogg", "mp3", "m4a", "webm", "aac", "wma")
MIN_CLIPS = 20
CODECS = {"m4a": "aac", "webm": "libopus", "aac": "aac", "wma": "wmav2"}


class Comparison(NamedTuple):
    """One file: its source and format, whether it is as ffmpeg plays it, and how not."""

    source: str
    format: str
    verdict: str
    detail: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=0, help="of each source at most; 0: all")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--revision", default="c5d4452")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--time", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.time:
        print(json.dumps(time_clips(Path(options.time))))
        return
    compared = compare_files(options.files, options.processes)
    slowdown = measure_slowdown(options.revision, options.rounds)
    worst = max((ratio for lengths in slowdown.values() for ratio in lengths.values()), default=0)
    verdicts = collections.Counter(each.verdict for each in compared)
    print(json.dumps({"files": len(compared), **verdicts, "slowdown": worst, "by": slowdown}))


# --- real files


def compare_files(limit: int, processes: int) -> list[Comparison]:
    """Decode the real files that are here, print a table, and list what differs."""
    if not shutil.which("ffmpeg"):
        print("ffmpeg is not installed: no file is compared", file=sys.stderr)
        return []
    with tempfile.TemporaryDirectory() as folder:
        found = {name: list(iter_package_files(name, Path(folder))) for name in PACKAGES}
        found["../shared/data"] = sorted(
            p for p in SHARED_DATA.rglob("*") if p.suffix in EXTENSIONS
        )
        jobs = [
            (source, path)
            for source, paths in found.items()
            for path in paths[:: max(1, len(paths) // limit) if limit else 1]
        ]
        with ProcessPoolExecutor(processes) as pool:
            compared = list(pool.map(compare_file, *zip(*jobs, strict=True), chunksize=8))
    verdicts = ("same", "true error", "differs", "false error")
    counts = collections.Counter((c.source, c.format, c.verdict) for c in compared)
    console.print_table(
        f"{len(compared)} real files against ffmpeg",
        ["source", "format", "files", *verdicts],
        [
            [*key, *(sum(counts[(*key, v)] for v in vs) for vs in (verdicts, *zip(verdicts)))]
            for key in sorted({(c.source, c.format) for c in compared})
        ],
    )
    for each in compared:
        if each.verdict != "same":
            print(f"{each.verdict}: {each.detail}", file=sys.stderr)
    return compared


def iter_package_files(package: str, folder: Path) -> Iterator[Path]:
    """The sound files of an installed Debian package; those within archives go to a folder."""
    if not shutil.which("dpkg"):
        return
    listed = subprocess.run(["dpkg", "-L", package], capture_output=True, text=True)
    for path in map(Path, sorted(listed.stdout.splitlines())):
        if path.suffix in EXTENSIONS and path.is_file():
            yield path
        if path.suffix in ARCHIVED and path.is_file():
            for index, data in enumerate(ARCHIVED[path.suffix](path.read_bytes())):
                copy = folder / f"{path.stem}-{index:04d}{'.wav' if data[:1] == b'R' else '.ogg'}"
                copy.write_bytes(data)
                yield copy


def iter_opensfx(data: bytes) -> Iterator[bytes]:
    """The WAVs of OpenTTD's `.cat`, by their own size."""
    for match in re.finditer(rb"RIFF(....)WAVE", data, re.DOTALL):
        yield data[match.start() :][: 8 + int.from_bytes(match[1], "little")]


def iter_qt_resources(data: bytes) -> Iterator[bytes]:
    """The Ogg files of a Qt resource, each of which follows its size."""
    end = 0
    for match in re.finditer(rb"(....)OggS\x00\x02", data, re.DOTALL):
        size = int.from_bytes(match[1], "big")
        if match.start() >= end and match.start() + 4 + size <= len(data):
            end = match.start() + 4 + size
            yield data[match.start() + 4 : end]


ARCHIVED = {".cat": iter_opensfx, ".rcc": iter_qt_resources}


def compare_file(source: str, path: Path) -> Comparison:
    """Decode a file here and by ffmpeg."""
    expected, rate = decode_by_ffmpeg(path)
    try:
        decoded = decode_audio(path.read_bytes(), path.name, None, None, float("inf"))
    except AudioError as error:
        played_s = len(expected) / rate
        verdict = "true error" if played_s < MIN_DURATION_S else "false error"
        return Comparison(
            source, path.suffix, verdict, f"{path}: {error} (ffmpeg {played_s:.2f} s)"
        )
    excess = len(decoded.waveform) - len(expected)
    lag, correlation = correlate(decoded.waveform, expected)
    frame = FRAME_SAMPLES.get(path.suffix, DEFAULT_FRAME_SAMPLES)
    same = abs(excess) <= frame and abs(lag) <= frame and correlation > MIN_CORRELATION
    detail = f"{path}: {excess} samples more, {lag} late, correlation {correlation:.4f}"
    return Comparison(source, path.suffix, "same" if same else "differs", detail)


def decode_by_ffmpeg(path: Path) -> tuple[np.ndarray, int]:
    """The whole sound as ffmpeg plays it, channels averaged, and its rate."""
    played = subprocess.run(
        ["ffmpeg", "-v", "quiet", "-i", path, "-map", "0:a:0", "-c", "pcm_f32be", "-f", "au", "-"],
        capture_output=True,
    ).stdout
    if len(played) < 24:
        return np.zeros(0, np.float32), 1
    start, rate, channels = struct.unpack(">4xI8xII", played[:24])
    samples = np.frombuffer(played, ">f4", offset=start).reshape(-1, channels)
    return samples.mean(axis=1, dtype=np.float32), rate


def correlate(found: np.ndarray, expected: np.ndarray) -> tuple[int, float]:
    """How many samples the second is late, and the correlation there."""
    length = min(len(found), len(expected))
    if not length or not found.any() and not expected.any():
        return 0, float(length > 0)
    products = scipy.signal.correlate(found, expected, method="fft")
    lag = int(np.argmax(products)) - (len(expected) - 1)
    first, second = found[max(0, lag) :], expected[max(0, -lag) :]
    length = min(len(first), len(second))
    norms = float(np.linalg.norm(first[:length]) * np.linalg.norm(second[:length]))
    return -lag, float(np.dot(first[:length], second[:length])) / max(norms, 1e-12)


# --- cost


def measure_slowdown(revision: str, rounds: int) -> dict[str, dict[str, float]]:
    """CPU time of a clip, here against the revision; each measures every file in each round."""
    with tempfile.TemporaryDirectory() as folder:
        for length, seconds in LENGTHS_S.items():
            for kind in KINDS:
                write_sound(Path(folder) / f"{length}.{kind}", kind, seconds)
        base = Path(folder) / "base"
        base.mkdir()
        archive = ["git", "-C", str(REPOSITORY), "archive", revision]
        unpacked = subprocess.run(archive, capture_output=True)
        if unpacked.returncode:
            print(f"revision {revision} is not here: no time is compared", file=sys.stderr)
            return {}
        subprocess.run(["tar", "-x", "-C", str(base)], input=unpacked.stdout, check=True)
        times: dict[Path, list[dict[str, float]]] = {REPOSITORY: [], base: []}
        for _ in range(rounds):
            for tree, measured in times.items():
                measured.append(time_in(tree, folder))
    now, before = (merge_times(measured) for measured in times.values())
    ratios: dict[str, dict[str, float]] = {
        kind: {length: 0.0 for length in LENGTHS_S} for kind in KINDS
    }
    for name, cost_s in now.items():
        length, _, kind = name.rpartition(".")
        ratios[kind][length] = round(cost_s / before[name], 2)
    console.print_table(
        f"A clip of 10 s, read, hashed and decoded: CPU time in ms here ({revision})",
        ["", *LENGTHS_S],
        [
            [kind, *(f"{now[k] * 1e3:.1f} ({before[k] * 1e3:.1f})" for k in names_of(kind))]
            for kind in KINDS
        ],
    )
    return ratios


def names_of(kind: str) -> list[str]:
    return [f"{length}.{kind}" for length in LENGTHS_S]


def time_in(tree: Path, folder: str) -> dict[str, float]:
    """`time_clips` by the code of a tree."""
    command = [sys.executable, str(Path(__file__).resolve()), "--time", folder]
    environment = {**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def merge_times(rounds: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(r[name] for r in rounds) for name in rounds[0]}


def time_clips(folder: Path) -> dict[str, float]:
    """Seconds of CPU that a clip takes, by file: the clips of a file follow each other in a run.

    A short file is read many times, each time as a file that was not counted before.
    """
    takes_hash = "sha256" in inspect.signature(decode_audio).parameters
    times = {}
    for path in sorted(p for p in folder.iterdir() if p.is_file()):
        seconds = LENGTHS_S[path.stem]
        starts = np.arange(0, seconds, max(CLIP_S, seconds / 20))
        repeats = -(-MIN_CLIPS // len(starts))
        decode_audio(path.read_bytes(), path.name, 0.0, CLIP_S, CLIP_S)  # what loads once
        begun_s = time.process_time()
        for repeat in range(repeats):
            for start_s in starts:
                data = path.read_bytes()
                file_id = f"{sha256_hex(data)} {repeat}"
                extra = [file_id] if takes_hash else []
                decode_audio(data, path.name, start_s, start_s + CLIP_S, CLIP_S, *extra)
        times[path.name] = (time.process_time() - begun_s) / len(starts) / repeats
    return times


def write_sound(path: Path, kind: str, seconds: int) -> None:
    """A wandering tone in noise, in one channel."""
    if kind not in CODECS:
        with soundfile.SoundFile(path, "w", RATE, 1, format=kind.upper()) as writer:
            for block in sound_blocks(seconds):
                writer.write(block)
        return
    rate = 48000 if kind == "webm" else RATE
    with av.open(
        str(path), "w", format={"wma": "asf", "m4a": "mp4", "aac": "adts"}.get(kind)
    ) as out:
        stream = out.add_stream(CODECS[kind], rate=rate, layout="mono")
        stream.bit_rate = 64000
        encoder = stream.codec_context
        encoder.open()
        resampler = av.AudioResampler(encoder.format, "mono", rate, encoder.frame_size or 1024)
        for index, block in enumerate(sound_blocks(seconds)):
            frame = av.AudioFrame.from_ndarray(block[None], "fltp", "mono")
            frame.sample_rate, frame.pts = RATE, index * RATE
            for piece in resampler.resample(frame):
                out.mux(stream.encode(piece))
        for piece in [*resampler.resample(None), None]:
            out.mux(stream.encode(piece))


def sound_blocks(seconds: int) -> Iterator[np.ndarray]:
    """Seconds of sound, one after the other."""
    generator = np.random.default_rng(0)
    for second in range(seconds):
        t = second % 60 + np.arange(RATE) / RATE
        tone = 0.3 * np.sin(2 * np.pi * (220 + 20 * np.sin(t / 5)) * t)
        yield (tone + 0.05 * generator.standard_normal(RATE)).astype(np.float32)


if __name__ == "__main__":
    main()
