"""Marks stay: over a server's end, beside another's, and as labels to calibrate with."""

import csv
import getpass
import json
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from curation.cli import main
from curation.config.run import RunConfig
from curation.errors import InputError
from curation.review import marks
from curation.run.layout import RunFolder
from tests.review.conftest import HOSTILE, serving
from tests.review.test_server import rows, send
from tests.support.processes import restore_ctrl_c


def test_marks_are_there_when_the_server_comes_back(config: RunConfig) -> None:
    with serving(config) as first:
        for entry, verdict in ((4, "good"), (5, "bad"), (6, "good"), (6, "withdrawn")):
            assert send(first, "mark", {"entry": entry, "verdict": verdict}).status_code == 200
    with serving(config, marker="Bea") as second:
        shown = rows(second, filter={"marked": "marked"}, sort="clip")
        assert [(row["entry"], row["mark"]["verdict"]) for row in shown] == [
            (4, "good"),
            (5, "bad"),
        ]
        send(second, "mark", {"entry": 4, "verdict": "bad"})
    assert [mark.marker for mark in marks.read_marks(RunFolder.from_config(config))] == [
        "Ann"
    ] * 4 + ["Bea"]


def test_many_marks_at_once_are_all_kept(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(marks, "MARKS_PER_FILE", 8)
    with serving(config) as started, ThreadPoolExecutor(8) as threads:
        said = [{"entry": entry, "verdict": "good"} for entry in range(2, 32)]
        answers = list(threads.map(lambda each: send(started, "mark", each), said))
    assert {answer.status_code for answer in answers} == {200}
    assert len(marks.read_marks(RunFolder.from_config(config))) == 30
    assert len(list((Path(config.run) / "marks").iterdir())) == 4


def test_the_sample_goes_on_where_it_was_left(config: RunConfig) -> None:
    with serving(config) as started:
        requested = rows(started, sort="sample", limit=5)
        for row in requested[:3]:
            send(started, "mark", {"entry": row["entry"], "verdict": "good", "sampled": True})
        # Marked again while browsing, a caption of the sample stays one.
        send(started, "mark", {"entry": requested[0]["entry"], "verdict": "bad"})
        left = rows(started, sort="sample", limit=2)
        assert [row["entry"] for row in left] == [row["entry"] for row in requested[3:]]
        assert send(started, "curve", {"policy": {"max_per_clip": 4}}).json()["sampled"] == 3


def test_labels_are_exported_as_they_were_marked(
    config: RunConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    labels = tmp_path / "labels.csv"
    with pytest.raises(InputError, match="no caption is marked"):
        marks.export_marks(RunFolder.from_config(config), str(labels))
    with serving(config) as started:
        send(started, "mark", {"entry": 0, "verdict": "corrected", "corrected": 'a, "b"'})
        send(started, "mark", {"entry": 2, "verdict": "good"})
    assert typed(monkeypatch, "review", config.run, "--export", labels) == 0
    assert capsys.readouterr().out == f"2 marked captions in {labels}\n"
    with labels.open(newline="") as file:
        first, second = sorted(csv.DictReader(file), key=lambda row: row["right"])
    assert (first["caption"], first["corrected"]) == (f"{HOSTILE} 0", 'a, "b"')
    assert (second["right"], second["marker"]) == ("1", "Ann")
    assert float(second["second_score"]) == pytest.approx(14 / 40)


def test_a_file_that_holds_no_marks_is_named(config: RunConfig) -> None:
    folder = Path(config.run) / "marks"
    folder.mkdir()
    (folder / "x.jsonl").write_text("{}\n")
    with pytest.raises(InputError, match="not a row of marks"):
        marks.read_marks(RunFolder.from_config(config))


def test_marks_of_before_there_were_second_scorers_are_read(config: RunConfig) -> None:
    with serving(config) as started:
        send(started, "mark", {"entry": 2, "verdict": "good"})
    (file,) = (Path(config.run) / "marks").iterdir()
    row = json.loads(file.read_text())
    del row["second_score"]
    file.write_text(json.dumps(row) + "\n")
    assert [mark.second_score for mark in marks.read_marks(RunFolder.from_config(config))] == [None]


def test_a_run_without_evidence_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed(monkeypatch, "review", tmp_path / "nowhere", "--no-browser") == 1
    assert "nowhere" in capsys.readouterr().err


def test_the_command_serves_until_it_is_interrupted(config: RunConfig) -> None:
    command = [Path(sys.executable).parent / "tagscribe", "review", config.run, "--no-browser"]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdout=pipe, stderr=pipe, text=True, preexec_fn=restore_ctrl_c
    ) as started:
        assert started.stdout and started.stderr
        url, token = started.stdout.readline().strip().split("/#")
        headers = {"X-Tagscribe-Token": token}
        about = requests.get(f"{url}/api/about", headers=headers, timeout=60).json()
        started.send_signal(signal.SIGINT)
        _, printed = started.communicate(timeout=60)
    assert "0 captions of this run are marked" in printed
    assert started.returncode == 0
    assert about["policy"]["min_score"] == 0.3 and about["marker"] == getpass.getuser()


def typed(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """The exit status of a command, run in this process."""
    monkeypatch.setattr(sys, "argv", ["tagscribe", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main.main()
    return int(ended.value.code or 0)
