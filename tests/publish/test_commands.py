"""`tagscribe publish` and `rebuild` as users type them."""

import itertools
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from curation.cli.main import app
from curation.config.run import RunConfig
from curation.errors import InputError
from curation.storage.files import Storage
from tests.publish.conftest import CLIPS, contents


def tagscribe(*arguments: object) -> str:
    ended = CliRunner().invoke(app, [*map(str, arguments)], catch_exceptions=False)
    assert ended.exit_code == 0
    return ended.stdout


def test_a_dry_run_writes_nothing(run: RunConfig, tmp_path: Path) -> None:
    output = tagscribe("publish", run.run, "--to", tmp_path / "out", "--dry-run")
    assert "data  2 files, about" in output
    assert not (tmp_path / "out").exists()


def test_publish_and_rebuild_say_what_was_done(run: RunConfig, tmp_path: Path) -> None:
    output = tagscribe("publish", run.run, "--to", tmp_path / "out", "--quiet")
    assert f"{tmp_path}/out: {2 * CLIPS} captions of {CLIPS} clips (train" in output
    again = tagscribe("publish", run.run, "--to", tmp_path / "out", "--quiet")
    assert "published already, 6 files as they were written" in again
    audio = Path(run.run).parent / "audio"
    out = tmp_path / "with_audio"
    rebuilt = tagscribe("rebuild", tmp_path / "out", "--audio", audio, "--out", out, "--quiet")
    assert f"{CLIPS} of {CLIPS} clips have a file (100.0 %)" in rebuilt
    assert f"audio of {CLIPS} clips as it was annotated, of 0 clips from others" in rebuilt


def test_a_licence_is_corrected_and_the_data_are_kept(run: RunConfig, tmp_path: Path) -> None:
    publish = ["publish", run.run, "--to", tmp_path / "out", "--quiet"]
    correct = [*publish, "--overwrite-metadata", "--licence", "cc-by-4.0", "--about", "Test tones"]
    with pytest.raises(InputError, match="no finished dataset whose metadata could be overwritten"):
        tagscribe(*correct)
    tagscribe(*publish)
    before = contents(tmp_path / "out")
    assert "the data are kept" in tagscribe(*correct)
    after = contents(tmp_path / "out")
    changed = {path for path in before if before[path] != after[path]}
    assert changed == {"README.md", "croissant.json", "dataset.json", "SHA256SUMS"}
    assert before.keys() == after.keys()
    assert b"license: cc-by-4.0" in after["README.md"]
    assert b"The recordings: Test tones." in after["README.md"]
    assert json.loads(after["croissant.json"])["license"] == "cc-by-4.0"
    assert "published already, 6 files as they were written" in tagscribe(
        *publish, "--licence", "cc-by-4.0", "--about", "Test tones"
    )
    with pytest.raises(InputError, match="differing: options.licence, options.about"):
        tagscribe(*publish)
    with pytest.raises(InputError, match="differing: options.validation"):
        tagscribe(*correct, "--validation", 0.1)


@pytest.mark.parametrize("written", [1, 2, 3])
def test_a_correction_that_was_cut_short_is_repeated(
    run: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    publish = ["publish", run.run, "--to", tmp_path / "out", "--quiet"]
    correct = [*publish, "--overwrite-metadata", "--licence", "cc-by-4.0"]
    tagscribe(*publish)
    put, calls = Storage.put, itertools.count(1)

    def cut(storage: Storage, uri: str, data: bytes) -> None:
        if next(calls) > written:
            raise OSError("cut short")
        put(storage, uri, data)

    with monkeypatch.context() as patched, pytest.raises(OSError, match="cut short"):
        patched.setattr(Storage, "put", cut)
        tagscribe(*correct)
    tagscribe(*correct)
    assert "published already" in tagscribe(*publish, "--licence", "cc-by-4.0")


def test_excluded_clips_are_named_with_the_reason(run: RunConfig, tmp_path: Path) -> None:
    options = ["--audio", "--licence-column", "licence", "--sample-rate", 16000, "--dry-run"]
    output = tagscribe("publish", run.run, "--to", tmp_path, *options)
    assert (
        "20 clips left out, licence 'all rights reserved' is not known to allow it: b/tone01, "
        "b/tone03, b/tone05, b/tone07, b/tone09 and 15 more" in output
    )


def test_licences_come_from_one_place(run: RunConfig, tmp_path: Path) -> None:
    options = ["--audio", "--licences", "x.csv", "--licence-column", "licence"]
    with pytest.raises(InputError, match="not both"):
        tagscribe("publish", run.run, "--to", tmp_path, *options)
    with pytest.raises(InputError, match="no column 'rights' among file, tags, licence"):
        tagscribe("publish", run.run, "--to", tmp_path, "--audio", "--licence-column", "rights")


@pytest.mark.parametrize("command", ["publish", "rebuild"])
def test_the_commands_explain_themselves(command: str) -> None:
    assert "Usage" in tagscribe(command, "--help")
