"""Marks stay: over a server's end, beside another's, and as labels to calibrate with."""

import csv
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from curation.config import RunConfig
from curation.errors import InputError
from curation.review import marks
from tests.review.conftest import HOSTILE, serving
from tests.review.test_server import ask, rows
from tests.test_cli import tagscribe


def test_marks_are_there_when_the_server_comes_back(config: RunConfig) -> None:
    with serving(config) as first:
        for entry, verdict in ((4, "good"), (5, "bad"), (6, "good"), (6, "withdrawn")):
            assert ask(first, "mark", {"entry": entry, "verdict": verdict}).status_code == 200
    with serving(config, marker="Bea") as second:
        shown = rows(second, filter={"marked": "marked"}, sort="clip")
        assert [(row["entry"], row["mark"]["verdict"]) for row in shown] == [
            (4, "good"),
            (5, "bad"),
        ]
        ask(second, "mark", {"entry": 4, "verdict": "bad"})
    assert [mark.marker for mark in marks.read(config.run)] == ["Ann"] * 4 + ["Bea"]


def test_many_marks_at_once_are_all_kept(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(marks, "MARKS_A_FILE", 8)
    with serving(config) as started, ThreadPoolExecutor(8) as threads:
        said = [{"entry": entry, "verdict": "good"} for entry in range(2, 32)]
        answers = list(threads.map(lambda each: ask(started, "mark", each), said))
    assert {answer.status_code for answer in answers} == {200}
    assert len(marks.read(config.run)) == 30
    assert len(list((Path(config.run) / "marks").iterdir())) == 4


def test_the_sample_goes_on_where_it_was_left(config: RunConfig) -> None:
    with serving(config) as started:
        asked = rows(started, sort="sample", limit=5)
        for row in asked[:3]:
            ask(started, "mark", {"entry": row["entry"], "verdict": "good", "sampled": True})
        # Marked again while browsing, a caption of the sample stays one.
        ask(started, "mark", {"entry": asked[0]["entry"], "verdict": "bad"})
        left = rows(started, sort="sample", limit=2)
        assert [row["entry"] for row in left] == [row["entry"] for row in asked[3:]]
        assert ask(started, "curve", {"policy": {"per_clip": 4}}).json()["sampled"] == 3


def test_labels_are_exported_as_they_were_marked(config: RunConfig, tmp_path: Path) -> None:
    labels = tmp_path / "labels.csv"
    with pytest.raises(InputError, match="no caption is marked"):
        marks.export(config.run, str(labels))
    with serving(config) as started:
        ask(started, "mark", {"entry": 0, "verdict": "corrected", "corrected": 'a, "b"'})
        ask(started, "mark", {"entry": 2, "verdict": "good"})
    ended = tagscribe("review", config.run, "--export", labels)
    assert ended.returncode == 0 and ended.stdout == f"2 marked captions in {labels}\n"
    with labels.open(newline="") as file:
        first, second = sorted(csv.DictReader(file), key=lambda row: row["right"])
    assert (first["caption"], first["corrected"]) == (f"{HOSTILE} 0", 'a, "b"')
    assert (second["right"], second["marker"]) == ("1", "Ann")


def test_a_file_that_holds_no_marks_is_told(config: RunConfig) -> None:
    folder = Path(config.run) / "marks"
    folder.mkdir()
    (folder / "x.jsonl").write_text("{}\n")
    with pytest.raises(InputError, match="not a row of marks"):
        marks.read(config.run)


def test_a_run_without_evidence_says_what_to_do(tmp_path: Path) -> None:
    ended = tagscribe("review", tmp_path / "nowhere", "--no-browser")
    assert ended.returncode == 1 and "nowhere" in ended.stderr
