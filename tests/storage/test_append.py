"""Files that only grow: what is there is never written again, locally and on S3."""

from pathlib import Path

import pytest

from curation.storage.append import append_line, read_lines, read_newest_line
from curation.storage.files import Storage
from tests.support.small_disk import run_on_small_disk


@pytest.fixture(params=["local", "s3"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    folder = tmp_path if request.param == "local" else request.getfixturevalue("s3_folder")
    return f"{folder}/run/log.jsonl"


def test_lines_come_back_in_the_order_of_writing(uri: str) -> None:
    storage = Storage()
    assert read_lines(storage, uri) == [] and read_newest_line(storage, uri) is None
    append_line(storage, uri, b"one\ntwo\n")
    append_line(storage, uri, b"three\n")
    assert read_lines(storage, uri) == [b"one", b"two", b"three"]
    assert read_newest_line(storage, uri) == b"three"


def test_a_local_file_stays_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    append_line(Storage(), str(path), b"one\n")
    with path.open("rb") as reader:
        assert reader.read() == b"one\n"
        append_line(Storage(), str(path), b"two\n")
        assert reader.read() == b"two\n"


def test_an_object_is_never_written_again(s3_folder: str) -> None:
    uri = f"{s3_folder}/log.jsonl"
    append_line(Storage(), uri, b"one\n")
    [first] = Storage().list_files(uri)
    append_line(Storage(), uri, b"two\n")
    assert [file.uri for file in Storage().list_files(uri)][0] == first.uri
    assert Storage().read_bytes(first.uri) == b"one\n"


def test_lines_begin_after_one_that_a_crash_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b"one\ntw")
    assert read_newest_line(Storage(), str(path)) == b"one"
    append_line(Storage(), str(path), b"three\n")
    assert read_lines(Storage(), str(path)) == [b"one", b"tw", b"three"]


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    path = tmp_path / "disk" / "log.jsonl"
    code = (
        "from curation.storage.append import append_line; "
        "from curation.storage.files import Storage\n"
        f"for _ in range(9): append_line(Storage(), {str(path)!r}, b'x' * 9_999 + b'\\n')"
    )
    ended = run_on_small_disk(tmp_path / "disk", 40, code)
    assert f"DiskFullError: {path}" in ended.stderr or "free some" in ended.stderr, ended.stderr


def test_the_newest_line_of_a_long_file(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    append_line(Storage(), str(path), b"".join(b"%09d\n" % number for number in range(100)))
    assert read_newest_line(Storage(), str(path), longest=15) == b"000000099"
