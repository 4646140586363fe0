"""A command that is stopped by Ctrl-C or SIGTERM says where its run stands, and exits by its code.

Whole runs that are stopped are in tests/processes/test_local_executor.py.
"""

import signal
from pathlib import Path

import pytest
from typer.testing import CliRunner

from curation.cli import interruption, run
from curation.cli.main import app
from tests.support.runs import planned_run, write_evidence, write_yaml

CTRL_C = KeyboardInterrupt()
SIGTERM = SystemExit(interruption.TERMINATED)
# Ray replaces the handler of SIGTERM by one that exits so.
SIGTERM_OF_RAY = SystemExit(signal.SIGTERM)


@pytest.fixture
def yaml_file(tmp_path: Path) -> Path:
    """A run of three shards, of which one is done."""
    config = planned_run(tmp_path, clips=20, shard_clips=8)
    write_evidence(config, 0, scores=[0.5] * 8)
    return write_yaml(config, tmp_path)


@pytest.mark.parametrize(
    ("stop", "word", "code"),
    [(CTRL_C, "interrupted", 130), (SIGTERM, "terminated", 143)],
    ids=["Ctrl-C", "SIGTERM"],
)
@pytest.mark.parametrize("command", ["plan", "annotate", "select", "run"])
def test_a_command_on_a_run_says_what_is_done(
    command: str,
    stop: BaseException,
    word: str,
    code: int,
    yaml_file: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    raise_in_steps(stop, monkeypatch)
    ended = CliRunner().invoke(app, [command, str(yaml_file)])
    assert ended.exit_code == code
    assert ended.stderr == (
        f"tagscribe: {word}: {yaml_file.parent}/run has evidence of 8 of 20 clips, and no table; "
        "the same command goes on from there.\n"
    )


def raise_in_steps(stop: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    def step(*_: object, **__: object) -> None:
        raise stop

    for name in ("_plan", "_annotate", "_select"):
        monkeypatch.setattr(run, name, step)


def test_a_run_without_a_plan_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(f"run: {tmp_path}/run\ncatalog: {{kind: folder, audio: {tmp_path}}}\n")
    raise_in_steps(CTRL_C, monkeypatch)
    ended = CliRunner().invoke(app, ["run", str(path)])
    assert (ended.exit_code, ended.stdout) == (130, "")
    assert ended.stderr.endswith("has no plan yet; the same command lists the catalog again.\n")


def test_a_folder_that_cannot_be_read_does_not_hold_it_up(
    yaml_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raise_in_steps(CTRL_C, monkeypatch)
    (yaml_file.parent / "run" / "run.json").write_text("{")
    ended = CliRunner().invoke(app, ["annotate", str(yaml_file)])
    assert ended.exit_code == 130
    assert ended.stderr == (
        "tagscribe: interrupted: what is written stays; the same command goes on.\n"
    )


@pytest.mark.parametrize(
    ("stop", "word", "code"),
    [
        (CTRL_C, "interrupted", 130),
        (SIGTERM, "terminated", 143),
        (SIGTERM_OF_RAY, "terminated", 143),
    ],
)
def test_every_other_command_says_that_it_was_stopped(
    stop: BaseException, word: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object) -> None:
        raise stop

    monkeypatch.setattr("curation.run.resolve.resolve_run", stopped)
    ended = CliRunner().invoke(app, ["status", "somewhere"])
    assert (ended.exit_code, ended.stderr) == (code, f"tagscribe: {word}.\n")


def test_other_exit_codes_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    def ended(*_: object) -> None:
        raise SystemExit(5)

    monkeypatch.setattr("curation.run.resolve.resolve_run", ended)
    assert CliRunner().invoke(app, ["status", "somewhere"]).exit_code == 5
