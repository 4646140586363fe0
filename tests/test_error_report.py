"""A command never ends without a word: each kind of error is one line, and faults keep a trace."""

import errno
from pathlib import Path

import pytest

from curation.error_report import TRACEBACK_VARIABLE, report_error
from curation.errors import InputError, RunError


def raised(error: Exception) -> Exception:
    """The error as a handler gets it, with its traceback."""
    try:
        raise error
    except Exception as caught:
        return caught


@pytest.fixture(autouse=True)
def temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (InputError("selct: unknown key"), "tagscribe: selct: unknown key"),
        (RunError("2 shards are missing"), "tagscribe: 2 shards are missing"),
        (
            OSError(5, "Input/output error", "/run"),
            "tagscribe: OSError: [Errno 5] Input/output error: '/run'",
        ),
    ],
)
def test_what_explains_itself_is_one_line(
    error: Exception, line: str, temporary_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report_error("tagscribe", raised(error)) == 1
    assert capsys.readouterr().err == f"{line}\n"
    assert list(temporary_folder.iterdir()) == []


@pytest.mark.parametrize(
    "cause",
    [
        OSError(errno.ENOSPC, "No space left on device", "/run/table/x"),
        OSError(errno.EDQUOT, "Disk quota exceeded", "/run/table/x"),
        RuntimeError("Generic LocalFileSystem error: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_is_said_in_one_way_whatever_met_it(
    cause: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    error = ValueError("cannot write")
    error.__cause__ = cause
    assert report_error("tagscribe", raised(error)) == 1
    said = "/run/table/x: no space left on its disk" if isinstance(cause, OSError) else "no space"
    assert capsys.readouterr().err.startswith(f"tagscribe: {said}")


def test_a_fault_names_its_place_and_the_file_with_its_traceback(
    temporary_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report_error("tagscribe", raised(ZeroDivisionError("by\nnothing"))) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("tagscribe: unexpected ZeroDivisionError: by nothing (line ")
    assert Path(__file__).name in line and "please report it" in line
    [file] = temporary_folder.iterdir()
    assert str(file) in line
    assert file.read_text().startswith("Traceback (most recent call last)")


def test_a_fault_is_reported_where_no_file_can_be_written(
    temporary_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(temporary_folder / "nowhere"))
    assert report_error("tagscribe", raised(KeyError("x"))) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert "unexpected KeyError" in line and f"{TRACEBACK_VARIABLE}=1" in line


def test_the_variable_prints_the_traceback_of_any_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(TRACEBACK_VARIABLE, "1")
    report_error("tagscribe", raised(InputError("no such file")))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-1] == "tagscribe: no such file"


def test_no_secret_is_printed_or_written(
    temporary_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2hunter2")
    report_error("tagscribe", raised(ValueError("key hunter2hunter2, http://me:pass@host")))
    [file] = temporary_folder.iterdir()
    for text in (capsys.readouterr().err, file.read_text()):
        assert "hunter2" not in text and "me:pass" not in text
