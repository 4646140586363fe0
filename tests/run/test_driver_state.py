"""The driver's own word: at work, at the end, or why it stopped; never with a secret in it."""

import time
from pathlib import Path

import pytest

from curation.errors import RunError
from curation.run import driver_state
from curation.run.layout import RunFolder
from tests.support.small_disk import run_on_small_disk


def test_a_block_that_ends_is_finished(tmp_path: Path) -> None:
    with driver_state.record_driver_state(RunFolder(str(tmp_path))):
        assert read_state(tmp_path).state == "running"
    ended = read_state(tmp_path)
    assert (ended.state, ended.reason) == ("finished", "")
    assert ended.started_s <= ended.heartbeat_s


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RunError("3 of 4 shards have no evidence"), "3 of 4 shards have no evidence"),
        (ZeroDivisionError("by nothing"), "ZeroDivisionError: by nothing"),
        (KeyboardInterrupt(), "interrupted from the keyboard (Ctrl-C)"),
        (SystemExit(15), "terminated from outside (SIGTERM)"),
    ],
)
def test_an_error_is_the_reason_and_goes_on(
    error: BaseException, reason: str, tmp_path: Path
) -> None:
    with pytest.raises(type(error)), driver_state.record_driver_state(RunFolder(str(tmp_path))):
        raise error
    assert (read_state(tmp_path).state, read_state(tmp_path).reason) == ("stopped", reason)


_FILL_DISK = """
import sys
from curation.error_report import report_error
from curation.run.driver_state import read_driver_state, record_driver_state
from curation.run.layout import RunFolder

run = RunFolder({folder!r})
try:
    with record_driver_state(run):
        with open({folder!r} + "/other", "wb", buffering=0) as other:
            try:
                while True:
                    other.write(bytes(4096))
            except OSError as error:
                full = error
        if {by_storage}:
            run.storage.put_new(run.uri + "/evidence/shard-00000.parquet", bytes(50_000))
        raise full
except OSError as error:
    assert report_error("tagscribe", error) == 1
state = read_driver_state(run)
print(state.state, state.reason)
"""


@pytest.mark.parametrize("by_storage", [True, False])
def test_a_full_disk_is_reported_and_recorded(by_storage: bool, tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    code = _FILL_DISK.format(folder=str(folder), by_storage=by_storage)
    done = run_on_small_disk(folder, 512, code)
    assert done.returncode == 0, done.stderr
    said = "no space left on a disk, or in a quota"
    if by_storage:
        shard = folder / "evidence" / "shard-00000.parquet"
        said = f"{shard}: no space left on its disk, or in the quota (0 B free)"
    assert done.stderr.startswith(f"tagscribe: {said}; free some, and give the command again")
    assert done.stderr.count("\n") == 1
    assert done.stdout.startswith("stopped ") and "o space left on" in done.stdout


def test_the_room_that_is_set_aside_is_given_back(tmp_path: Path) -> None:
    run = RunFolder(str(tmp_path))
    with driver_state.record_driver_state(run):
        assert (tmp_path / ".state.reserve").stat().st_size == 2**16
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]


def test_a_running_driver_without_a_heartbeat_is_dead() -> None:
    running = driver_state.DriverState("running", 1000.0, 2000.0)
    assert not running.is_dead(2000.0 + driver_state.HEARTBEAT_INTERVAL_S)
    assert running.is_dead(2001.0 + driver_state.DEAD_AFTER_S)
    assert not driver_state.DriverState("finished", 1000.0, 2000.0).is_dead(1e9)


def test_a_second_driver_is_warned_while_another_seems_alive(tmp_path: Path) -> None:
    run = RunFolder(str(tmp_path))
    assert driver_state.describe_other_driver(run) == ""
    with driver_state.record_driver_state(run):
        alive_s = read_state(tmp_path).heartbeat_s
        warning = driver_state.describe_other_driver(run, alive_s + 12)
        assert warning.startswith(f"another driver of {tmp_path} was alive 12 s ago")
        long_ago_s = alive_s + driver_state.DEAD_AFTER_S + 1
        assert driver_state.describe_other_driver(run, long_ago_s) == ""
    assert driver_state.describe_other_driver(run) == ""


def test_a_heartbeat_is_written_once_an_interval(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with driver_state.record_driver_state(RunFolder(str(tmp_path))) as heartbeat:
        first = read_state(tmp_path).heartbeat_s
        heartbeat()
        assert read_state(tmp_path).heartbeat_s == first
        later = time.time() + driver_state.HEARTBEAT_INTERVAL_S + 1
        monkeypatch.setattr(driver_state.time, "time", lambda: later)
        heartbeat()
        assert read_state(tmp_path).heartbeat_s == later


def test_no_secret_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2hunter2")
    message = "403 for https://me:opensesame@host/x, key hunter2hunter2, of s3://bucket/run"
    with pytest.raises(OSError), driver_state.record_driver_state(RunFolder(str(tmp_path))):
        raise OSError(message)
    written = (tmp_path / "state.json").read_text()
    assert "hunter2" not in written and "opensesame" not in written
    assert "https://<login>@host/x" in written and "s3://bucket/run" in written


def test_a_folder_without_a_driver_has_no_state(tmp_path: Path) -> None:
    assert driver_state.read_driver_state(RunFolder(str(tmp_path / "nowhere"))) is None


def read_state(folder: Path) -> driver_state.DriverState:
    found = driver_state.read_driver_state(RunFolder(str(folder)))
    assert found is not None
    return found
