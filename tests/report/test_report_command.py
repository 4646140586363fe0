"""The command: what it writes, where, and what it says."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from curation.cli.main import app
from curation.errors import InputError
from curation.select import apply
from curation.storage.files import Storage
from tests.report.page_of import clips, parsed, title
from tests.report.runs import noise, served, written_run
from tests.support.runs import write_yaml


def report(*arguments: object) -> str:
    ended = CliRunner().invoke(app, ["report", *map(str, arguments)], catch_exceptions=False)
    assert ended.exit_code == 0
    return ended.stdout


def titles(html: bytes) -> list[str]:
    return [title(clip) for group in clips(parsed(html.decode())).values() for clip in group]


def test_a_folder_or_a_yaml_names_the_run(tmp_path: Path) -> None:
    noise(tmp_path / "noise.wav")
    rows = [served(f"clip{n}", tmp_path / "noise.wav") for n in range(3)]
    config = written_run(tmp_path / "run", [rows])
    apply.select_pairs(config)
    printed = report(config.run)
    assert printed.startswith(f"{config.run}/report.html: ")
    assert "3 clips to hear, 3 of 3 shown" in printed
    other = tmp_path / "other.html"
    report(write_yaml(config, tmp_path), "--out", other, "--sample", 2, "--quiet")
    assert sorted(titles((tmp_path / "run" / "report.html").read_bytes())) == [
        "clip0",
        "clip1",
        "clip2",
    ]
    assert len(titles(other.read_bytes())) == 2


def test_a_run_in_a_bucket_has_its_page_there(s3_folder: str, tmp_path: Path) -> None:
    noise(tmp_path / "noise.wav")
    sound = f"{s3_folder}/noise.wav"
    Storage().put(sound, (tmp_path / "noise.wav").read_bytes())
    row = {**served("clip", tmp_path / "noise.wav"), "uri": sound}
    config = written_run(f"{s3_folder}/run", [[row]])
    apply.select_pairs(config)
    assert "1 clips to hear" in report(config.run)
    assert titles(Storage().read_bytes(f"{s3_folder}/run/report.html")) == ["clip"]


def test_a_folder_without_a_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no run.json, or the YAML of a run"):
        report(tmp_path)
