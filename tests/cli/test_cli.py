"""The commands as users type them: help, results on stdout, mistakes in one line and exit 1."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from curation import __version__
from curation.cli.main import app
from curation.run import driver_state
from curation.run.layout import RunFolder
from tests.support.processes import run_program, run_tagscribe
from tests.support.runs import corpus_run, write_yaml

COMMANDS = (
    *("demo", "plan", "annotate", "select", "run", "status", "verify", "show", "config"),
    *("jobs", "models", "publish", "rebuild", "report", "review"),
)


@pytest.fixture(scope="module")
def yaml_file(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run.yaml over the corpus, run to its end."""
    folder = tmp_path_factory.mktemp("cli")
    config = corpus_run(
        corpus,
        folder / "run",
        annotate={"shard_clips": 10, "actors": 1},
        select={"top_fraction": 0.5},
    )
    path = write_yaml(config, folder)
    ended = run_tagscribe("run", path)
    assert ended.returncode == 0, ended.stderr
    assert "40 clips: 40 ok" in ended.stdout
    assert "table version 0 holds 20 pairs" in ended.stdout
    assert ended.stderr.index("annotate: loading the models") < ended.stderr.index(" of 40 clips")
    assert "annotate: 40 of 40 clips" in ended.stderr
    return path


def test_both_programs_print_their_version() -> None:
    for program in ("tagscribe", "tagscribe-train"):
        ended = run_program(program, "--version")
        assert (ended.returncode, ended.stdout) == (0, f"tagscribe {__version__}\n")


def test_every_command_explains_itself() -> None:
    listed = run_tagscribe("--help").stdout
    for command in COMMANDS:
        assert command in listed
        output = CliRunner().invoke(app, [command, "--help"])
        assert output.exit_code == 0 and "Usage" in output.stdout


def test_status_shows_where_a_run_stands(yaml_file: Path) -> None:
    printed = run_tagscribe("status", yaml_file).stdout
    output = dict(line.split(maxsplit=1) for line in printed.splitlines())
    assert output.pop("state").startswith("annotated to its end 20")
    assert float(output.pop("rate").removesuffix(" clips/s")) > 0
    assert {name: output[name] for name in ("shards", "clips", "ok", "pairs", "table")} == {
        "shards": "4 of 4",
        "clips": "40 of 40",
        "ok": "40",
        "pairs": "0.500 per clip",
        "table": "version 0, 20 pairs",
    }


def test_verify_finds_what_was_changed(yaml_file: Path) -> None:
    sound = run_tagscribe("verify", yaml_file)
    assert (sound.returncode, sound.stdout) == (0, "plan, evidence and table agree\n")
    evidence = yaml_file.parent / "run" / "evidence" / "shard-00001.parquet"
    kept = evidence.read_bytes()
    try:
        evidence.write_bytes((evidence.parent / "shard-00000.parquet").read_bytes())
        changed = run_tagscribe("verify", yaml_file)
    finally:
        evidence.write_bytes(kept)
    assert changed.returncode == 1
    assert "shard 1: its clips are not those of the plan" in changed.stdout
    assert "in no evidence" in changed.stdout


def test_show_prints_pairs_and_a_clips_evidence(yaml_file: Path) -> None:
    pairs = run_tagscribe("show", yaml_file, "--rows", 3)
    assert pairs.returncode == 0 and "top_fraction 0.5" in pairs.stdout
    clip_id = next(line.split()[1] for line in pairs.stdout.splitlines() if "_0 " in line)
    clip = run_tagscribe("show", yaml_file, "--", clip_id)
    assert clip.returncode == 0 and "rms_dbfs" in clip.stdout and "beam" in clip.stdout
    unknown = run_tagscribe("show", yaml_file, "nobody")
    assert unknown.returncode == 1
    assert unknown.stderr.startswith("tagscribe: nobody: no such clip in the plan of")
    misspelt = run_tagscribe("show", yaml_file, "--", f"{clip_id}0")
    assert f"; the nearest are {clip_id}" in misspelt.stderr


def test_a_finished_run_run_again_does_nothing(yaml_file: Path) -> None:
    again = run_tagscribe("run", yaml_file, "--quiet")
    assert again.returncode == 0 and again.stderr == ""
    assert "table version 0 holds 20 pairs" in again.stdout


def test_a_second_driver_is_warned_of_the_first(yaml_file: Path) -> None:
    with driver_state.record_driver_state(RunFolder(str(yaml_file.parent / "run"))):
        second = run_tagscribe("annotate", yaml_file, "--quiet")
    assert second.returncode == 0
    assert second.stderr.startswith(f"another driver of {yaml_file.parent}/run was alive ")


def test_the_configuration_is_printed_and_checked(yaml_file: Path) -> None:
    printed = run_tagscribe("config", "--show").stdout
    assert "shard_clips: auto" in printed and "# " in printed
    assert run_tagscribe("config", "--check", yaml_file).returncode == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no such file"),
        ("run: x\ncatalog: {kind: folder, audio: y}\nselct: {}\n", "did you mean 'select'?"),
        ("run: x\ncatalog: {kind: folder, audio: /nowhere/at/all}\n", "/nowhere/at/all"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_1(
    text: str | None, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "run.yaml"
    if text is not None:
        path.write_text(text)
    ended = run_tagscribe("run", path)
    assert ended.returncode == 1 and ended.stdout == ""
    assert ended.stderr.startswith("tagscribe: ") and message in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_a_run_that_was_not_planned_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(f"run: {tmp_path}/run\ncatalog: {{kind: folder, audio: {tmp_path}}}\n")
    for command in ("annotate", "select", "status", "verify", "show"):
        ended = run_tagscribe(command, path)
        assert ended.returncode == 1
        assert "no run here" in ended.stderr or "no curated table here" in ended.stderr
