"""Sound files that are damaged in seeded ways, in ten formats.

    python -m tests.support.malformed FOLDER CLIPS

annotates the files of a folder by one worker, and prints its rows and its memory as JSON.
"""

import json
import random
import resource
import sys
from collections.abc import Callable
from pathlib import Path

from curation.run.config_file import parse_run_config
from tests.support.in_process import annotate_in_process
from tests.support.sounds import chirp, ffmpeg_bytes, libsndfile_bytes

Mutation = Callable[[bytes, random.Random], bytes]


def write_formats(folder: Path) -> dict[str, bytes]:
    """Two seconds in each of ten formats, by extension."""
    low, high = chirp(2.0, 16000), chirp(2.0, 48000)

    def encode(extension: str, codec: str) -> bytes:
        sound, rate = (high, 48000) if codec == "libopus" else (low, 16000)
        path = folder / f"source.{extension}"
        data = ffmpeg_bytes(path, codec, sound, rate, bit_rate=48_000)
        path.unlink()
        return data

    return {
        "wav": libsndfile_bytes("WAV", "PCM_16", low, 16000),
        "flac": libsndfile_bytes("FLAC", "PCM_16", low, 16000),
        "ogg": libsndfile_bytes("OGG", "VORBIS", low, 16000),
        "opus": libsndfile_bytes("OGG", "OPUS", high, 48000),
        "mp3": libsndfile_bytes("MP3", "MPEG_LAYER_III", low, 16000),
        "aiff": libsndfile_bytes("AIFF", "PCM_24", low, 16000),
        "m4a": encode("m4a", "aac"),
        "webm": encode("webm", "libopus"),
        "wma": encode("wma", "wmav2"),
        "aac": encode("aac", "aac"),
    }


def write_malformed(folder: Path, count: int, seed: int) -> None:
    """Write `count` damaged files, of each format as many."""
    formats = write_formats(folder)
    for index in range(count):
        extension = list(formats)[index % len(formats)]
        generator = random.Random(f"{seed} {index}")
        data = formats[extension]
        for _ in range(generator.choice([1, 1, 2, 4])):
            data = generator.choice(MUTATIONS)(data, generator)
        (folder / f"{index:04d}.{extension}").write_bytes(data)


def cut_end(data: bytes, generator: random.Random) -> bytes:
    return data[: generator.randrange(len(data) + 1)]


def cut_beginning(data: bytes, generator: random.Random) -> bytes:
    return data[generator.randrange(min(len(data), 2000) + 1) :]


def flip_bits(data: bytes, generator: random.Random) -> bytes:
    damaged = bytearray(data)
    for _ in range(generator.choice([1, 5, 50, 500]) if data else 0):
        damaged[generator.randrange(len(damaged))] ^= 1 << generator.randrange(8)
    return bytes(damaged)


def damage_header(data: bytes, generator: random.Random) -> bytes:
    damaged = bytearray(data)
    for _ in range(generator.choice([1, 4, 16]) if data else 0):
        damaged[generator.randrange(min(len(damaged), 200))] = generator.randrange(256)
    return bytes(damaged)


def set_field(data: bytes, generator: random.Random) -> bytes:
    """An extreme number somewhere, mostly in the header."""
    size = generator.choice([1, 2, 4, 8])
    value = generator.choice(
        [0, 1, 2 ** (8 * size - 1) - 1, 2 ** (8 * size - 1), 2 ** (8 * size) - 1]
    )
    end = generator.choice([64, 512, len(data)])
    at = generator.randrange(max(1, min(end, len(data))))
    return data[:at] + value.to_bytes(size, generator.choice(["big", "little"])) + data[at + size :]


def zero_block(data: bytes, generator: random.Random) -> bytes:
    at, size = generator.randrange(len(data) + 1), generator.choice([16, 512, 8192])
    return data[:at] + bytes(len(data[at : at + size])) + data[at + size :]


def drop_block(data: bytes, generator: random.Random) -> bytes:
    at = generator.randrange(len(data) + 1)
    return data[:at] + data[at + generator.choice([1, 100, 5000]) :]


def repeat_block(data: bytes, generator: random.Random) -> bytes:
    at = generator.randrange(len(data) + 1)
    return data[:at] + data[at : at + generator.choice([1, 100, 5000])] + data[at:]


def insert_noise(data: bytes, generator: random.Random) -> bytes:
    at = generator.randrange(len(data) + 1)
    return data[:at] + generator.randbytes(generator.choice([1, 100, 5000])) + data[at:]


def append_itself(data: bytes, generator: random.Random) -> bytes:
    return data + data[generator.randrange(len(data) // 2 + 1) :]


MUTATIONS: list[Mutation] = [
    cut_end, cut_beginning, flip_bits, damage_header, set_field, set_field, zero_block, drop_block,
    repeat_block, insert_noise, append_itself,
]  # fmt: skip


def main() -> None:
    """Annotate the files of a folder in this process."""
    folder, clips = Path(sys.argv[1]), int(sys.argv[2])
    config = parse_run_config(
        {
            "run": str(folder / "run"),
            "catalog": {"kind": "folder", "audio": str(folder / "audio")},
            "captioner": {"candidates": 1},
            "annotate": {"shard_clips": clips},
        },
        "test",
    )
    rows = annotate_in_process(config).select(["clip_id", "outcome", "error", "duration_s"])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"rows": rows.to_pylist(), "peak_kb": peak}))


if __name__ == "__main__":
    main()
