"""Writes procedural clips in the layout of AudioSet, with their true classes and captions.

A corpus is a folder of audio, CSVs with segments and tags, and truth.jsonl.
"""

import hashlib
import json
import multiprocessing
import string
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import soundfile
from tqdm import tqdm

from curation.synth.classes import CLASSES_BY_KEY, SOUND_CLASSES
from curation.synth.mixing import render_clip
from curation.synth.scenes import Scene, make_scene

TAG_MISSING = 0.15
TAG_WRONG = 0.35

_ALPHABET = string.ascii_letters + string.digits
_SUBTYPES = {"flac": "PCM_16", "wav": "PCM_16", "ogg": "VORBIS"}


def make_clip_id(seed: int, index: int) -> str:
    """Make an id of eleven letters and digits, like a YouTube id."""
    number = int.from_bytes(hashlib.sha256(f"{seed}/{index}".encode()).digest()[:12], "big")
    letters = []
    for _ in range(11):
        number, place = divmod(number, len(_ALPHABET))
        letters.append(_ALPHABET[place])
    return "".join(letters)


def scene_tags(scene: Scene) -> list[str]:
    """Return the mids of the scene's classes, in order."""
    return [CLASSES_BY_KEY[key].mid for key in scene.classes]


def draw_noisy_tags(scene: Scene, rng: np.random.Generator) -> list[str]:
    """Draw tags with the errors that people make.

    Each true tag is missing with probability 0.15, and a wrong tag is added with probability 0.35.
    """
    tags = [mid for mid in scene_tags(scene) if rng.random() >= TAG_MISSING]
    if rng.random() < TAG_WRONG:
        tags.append(str(rng.choice([s.mid for s in SOUND_CLASSES if s.key not in scene.classes])))
    return tags


def write_corpus(
    folder: str,
    clips: int,
    seed: int,
    formats: Sequence[str] = ("flac", "wav", "ogg"),
    workers: int = 1,
    progress: bool = False,
    sample_rate_hz: int = 16000,
) -> None:
    """Write the first `clips` clips of the corpus that `seed` generates.

        audio/<id>.flac|wav|ogg   the formats take turns
        segments.csv              true tags, in AudioSet's own layout
        segments_noisy.csv        the same clips, with tags from `draw_noisy_tags`
        truth.jsonl               id, classes, relation, duration_s and captions

    If `workers` is above one, several processes render the clips; the files are the same.
    """
    unknown = sorted(set(formats) - set(_SUBTYPES))
    if unknown or not formats:
        raise ValueError(
            f"formats {tuple(formats)} not understood; choose from {', '.join(_SUBTYPES)}"
        )
    root = Path(folder)
    (root / "audio").mkdir(parents=True, exist_ok=True)
    write = partial(_write_clip, str(root / "audio"), seed, tuple(formats), sample_rate_hz)
    # None: shown on a terminal alone.
    hidden = None if progress else True
    for _ in tqdm(_mapped(write, range(clips), workers), total=clips, unit="clip", disable=hidden):
        pass
    scenes = {make_clip_id(seed, index): make_scene(seed, index) for index in range(clips)}
    noisy = [
        draw_noisy_tags(scene, np.random.default_rng((seed, index, 2)))
        for index, scene in enumerate(scenes.values())
    ]
    _write_segments(root / "segments.csv", scenes, [scene_tags(scene) for scene in scenes.values()])
    _write_segments(root / "segments_noisy.csv", scenes, noisy)
    with open(root / "truth.jsonl", "w", encoding="utf-8") as lines:
        for name, scene in scenes.items():
            lines.write(json.dumps({"id": name, **asdict(scene)}) + "\n")


def read_corpus_truth(folder: str) -> dict[str, Scene]:
    """Read the scene of each clip of a written corpus, by the clip's eleven-character id."""
    truth = {}
    with open(Path(folder) / "truth.jsonl", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            truth[row["id"]] = Scene(
                tuple(row["classes"]), row["relation"], row["duration_s"], tuple(row["captions"])
            )
    return truth


def _mapped(write: Callable[[int], None], indices: Iterable[int], workers: int) -> Iterator[None]:
    if workers <= 1:
        yield from map(write, indices)
        return
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        yield from pool.imap(write, indices, chunksize=8)


def _write_clip(
    folder: str, seed: int, formats: tuple[str, ...], sample_rate_hz: int, index: int
) -> None:
    audio, _ = render_clip(seed, index, sample_rate_hz)
    form = formats[index % len(formats)]
    path = f"{folder}/{make_clip_id(seed, index)}.{form}"
    soundfile.write(path, audio, sample_rate_hz, subtype=_SUBTYPES[form])


def _write_segments(path: Path, scenes: dict[str, Scene], tags: list[list[str]]) -> None:
    """AudioSet's layout: three comments, then `id, start, end, "mid,mid"`."""
    labels = {mid for row in tags for mid in row}
    count = sum(len(row) for row in tags)
    with open(path, "w", encoding="utf-8", newline="") as out:
        out.write("# Segments csv of procedural sounds\n")
        out.write(
            f"# num_ytids={len(scenes)}, num_segs={len(scenes)}, "
            f"num_unique_labels={len(labels)}, num_positive_labels={count}\n"
        )
        out.write("# YTID, start_seconds, end_seconds, positive_labels\n")
        for (name, scene), row in zip(scenes.items(), tags, strict=True):
            out.write(f'{name}, 0.000, {scene.duration_s:.3f}, "{",".join(row)}"\n')
