"""A written corpus has AudioSet's layout, and is the same however many processes wrote it."""

import csv
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from curation.synth.classes import SOUND_CLASSES
from curation.synth.corpus import draw_noisy_tags, read_corpus_truth, scene_tags, write_corpus
from curation.synth.scenes import make_scene


def _segments(path: Path) -> list[list[str]]:
    lines = path.read_text().splitlines()
    assert [line[0] for line in lines[:3]] == ["#"] * 3
    assert lines[2] == "# YTID, start_seconds, end_seconds, positive_labels"
    assert all(
        re.fullmatch(r'[\w-]{11}, \d+\.\d{3}, \d+\.\d{3}, "[^"]*"', line) for line in lines[3:]
    )
    return list(csv.reader(lines[3:], skipinitialspace=True))


def test_a_corpus_reads_as_audioset_does(tmp_path: Path) -> None:
    write_corpus(str(tmp_path), clips=9, seed=4)
    truth = read_corpus_truth(str(tmp_path))
    rows, noisy = _segments(tmp_path / "segments.csv"), _segments(tmp_path / "segments_noisy.csv")
    assert [row[0] for row in rows] == [row[0] for row in noisy] == list(truth)
    assert list(truth.values()) == [make_scene(4, index) for index in range(9)]
    for index, (name, start, end, labels) in enumerate(rows):
        form = ("flac", "wav", "ogg")[index % 3]
        audio, rate = soundfile.read(tmp_path / "audio" / f"{name}.{form}")
        assert rate == 16000 and audio.ndim == 1
        assert len(audio) / rate == pytest.approx(float(end) - float(start), abs=1e-3)
        assert labels.split(",") == scene_tags(truth[name])


def test_workers_write_what_one_process_writes(tmp_path: Path) -> None:
    for name, workers in (("one", 1), ("two", 2)):
        write_corpus(str(tmp_path / name), clips=4, seed=8, formats=("wav",), workers=workers)
    for path in sorted((tmp_path / "one").rglob("*.*")):
        assert (
            path.read_bytes()
            == (tmp_path / "two" / path.relative_to(tmp_path / "one")).read_bytes()
        )


def test_noisy_tags_are_as_noisy_as_said() -> None:
    rng = np.random.default_rng(0)
    scenes = [make_scene(2, index) for index in range(3000)]
    tags = [draw_noisy_tags(scene, rng) for scene in scenes]
    true = [set(scene_tags(scene)) for scene in scenes]
    kept = sum(len(t & set(n)) for t, n in zip(true, tags, strict=True)) / sum(map(len, true))
    wrong = sum(len(set(n) - t) for t, n in zip(true, tags, strict=True)) / len(scenes)
    assert kept == pytest.approx(0.85, abs=0.02)
    assert wrong == pytest.approx(0.35, abs=0.03)
    assert {mid for row in tags for mid in row} <= {sound.mid for sound in SOUND_CLASSES}
    assert [] in tags


def test_unknown_formats_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="choose from flac, wav, ogg"):
        write_corpus(str(tmp_path), clips=1, seed=0, formats=("aiff",))
