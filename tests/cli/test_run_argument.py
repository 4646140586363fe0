"""The commands that read a run take its folder or its YAML, on a disk or in a bucket."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from click.testing import Result
from typer.testing import CliRunner

from curation.cli.main import app
from curation.run.record import RUN_FORMAT
from curation.storage.files import Storage
from tests.support.paths import REPOSITORY

EXAMPLE = REPOSITORY / "tests" / "data" / f"run_format_{RUN_FORMAT}"
NOWHERE = "http://127.0.0.1:9"
COMMANDS: dict[str, list[str]] = {
    "status": [],
    "verify": [],
    "show": [],
    "select": ["--quiet"],
    "report": ["--quiet", "--out", "{folder}/report.html"],
    "publish": ["--quiet", "--to", "{folder}/dataset"],
}
OPTIONS = {**COMMANDS, "review": ["--quiet", "--export", "{folder}/marks.csv"]}
Invoke = Callable[..., Result]


@pytest.fixture
def invoke(tmp_path: Path) -> Invoke:
    """Runs a command on a run, with further options; the result."""

    def run(command: str, argument: str, *options: str) -> Result:
        given = [option.format(folder=tmp_path) for option in OPTIONS[command]]
        return CliRunner().invoke(app, [command, argument, *given, *options])

    return run


@pytest.fixture
def bucket_run(s3_folder: str) -> str:
    """The example run in a bucket; its settings name no endpoint."""
    for file in sorted(EXAMPLE.rglob("*")):
        if file.is_file():
            name = f"{s3_folder}/run/{file.relative_to(EXAMPLE)}"
            Storage().put(name, file.read_bytes())
    return f"{s3_folder}/run"


def failure(result: Result) -> str:
    assert result.exception is not None
    return str(result.exception)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_local_run_is_given_by_its_folder_or_its_yaml(
    command: str, invoke: Invoke, tmp_path: Path
) -> None:
    folder, path = tmp_path / "run", tmp_path / "run.yaml"
    shutil.copytree(EXAMPLE, folder)
    config = json.loads((folder / "run.json").read_text())["config"]
    path.write_text(yaml.safe_dump({**config, "run": str(folder)}))
    by_folder, by_yaml = invoke(command, str(folder)), invoke(command, str(path))
    assert (by_folder.exit_code, by_yaml.exit_code) == (0, 0), by_folder.output + by_yaml.output


@pytest.mark.parametrize("command", COMMANDS)
def test_a_run_in_a_bucket_is_found_by_the_environment(
    command: str, invoke: Invoke, bucket_run: str
) -> None:
    result = invoke(command, bucket_run)
    assert result.exit_code == 0, (result.output, result.exception)


@pytest.mark.parametrize("command", COMMANDS)
def test_an_endpoint_on_the_command_line_stands_for_the_environments(
    command: str,
    invoke: Invoke,
    bucket_run: str,
    s3_server: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", NOWHERE)
    result = invoke(command, bucket_run, "--endpoint-url", s3_server)
    assert result.exit_code == 0, (result.output, result.exception)


def test_review_exports_the_marks_of_a_run_in_a_bucket(invoke: Invoke, bucket_run: str) -> None:
    # The example has no marks: the command has read the folder when it says so.
    message = failure(invoke("review", bucket_run))
    assert "no caption is marked" in message and bucket_run in message


def test_a_wrong_endpoint_is_named_with_what_to_set(invoke: Invoke, bucket_run: str) -> None:
    message = failure(invoke("status", bucket_run, "--endpoint-url", NOWHERE))
    assert NOWHERE in message and "--endpoint-url and --profile" in message


def test_an_unknown_profile_is_named(invoke: Invoke, bucket_run: str) -> None:
    message = failure(invoke("status", bucket_run, "--profile", "no-such-profile"))
    assert "no-such-profile" in message


@pytest.mark.parametrize("command", OPTIONS)
def test_a_folder_without_a_run_says_what_was_expected(
    command: str, invoke: Invoke, tmp_path: Path
) -> None:
    message = failure(invoke(command, str(tmp_path)))
    assert str(tmp_path) in message and "expected a run folder" in message
