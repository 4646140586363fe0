"""One filesystem layer: what holds for a folder holds for a bucket."""

import errno
import os
import threading
from pathlib import Path

import pytest

from curation.errors import InputError
from curation.storage.files import Storage
from curation.uris import absolute_uri, is_local_uri, join_uri

PLACES = ["local", "folder_without_links", "s3_folder", "rados_folder"]


@pytest.fixture
def folder_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """As on FAT, and on many network shares: `link` is no operation there."""

    def refuse(*paths: str) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    return str(tmp_path)


@pytest.fixture(params=PLACES)
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path) if request.param == "local" else request.getfixturevalue(request.param)


def names(root: str, folder: str = "") -> list[str]:
    below = f"{root}/{folder}".rstrip("/")
    return [file.uri.removeprefix(f"{root}/") for file in Storage().list_files(below)]


def test_what_is_put_can_be_read_whole_and_in_part(root):
    uri = join_uri(root, "a", "b.bin")
    assert not Storage().exists(uri)
    Storage().put(uri, b"0123456789")
    Storage().put(uri, b"abcdefghij")
    assert Storage().exists(uri)
    assert Storage().read_bytes(uri) == b"abcdefghij"
    assert Storage().read_bytes(uri, 2, 5) == b"cde"
    with Storage().open_input(uri) as file:
        file.seek(7)
        assert file.read() == b"hij"
    assert [file.size_bytes for file in Storage().list_files(root)] == [10]


def test_a_new_file_is_put_once(root):
    uri = f"{root}/a/one.bin"
    assert Storage().put_new(uri, b"first") is True
    assert Storage().put_new(uri, b"second") is False
    assert Storage().put_new(uri, b"first") is True, "it is there"
    assert Storage().read_bytes(uri) == b"first"


def test_files_that_go_while_a_folder_is_listed_are_skipped(tmp_path: Path) -> None:
    for name in ("a.bin", "b.bin", "c.bin"):
        Storage().put(str(tmp_path / name), b"there")
    listed = Storage().list_files(str(tmp_path))
    first = next(listed)
    (tmp_path / "b.bin").unlink()
    assert [file.uri for file in (first, *listed)] == [str(tmp_path / f"{n}.bin") for n in "ac"]


# Not moto, which looks first and puts then.
@pytest.mark.parametrize("root", ["local", "folder_without_links", "rados_folder"], indirect=True)
def test_of_many_that_put_a_new_file_one_succeeds(root):
    outcomes: list[bool] = []

    def work(data: bytes) -> None:
        outcomes.append(Storage().put_new(f"{root}/one.bin", data))

    threads = [threading.Thread(target=work, args=(b"%d" % index,)) for index in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == [False] * 15 + [True]
    assert names(root) == ["one.bin"], "no temporary files are left"


def test_a_listing_is_sorted_by_path_and_ends_with_the_folder(root):
    paths = ["a.b/x", "a/b/c", "a/b.c", "a/z", "ab/x", "a/B", "b"]
    for path in paths:
        Storage().put(f"{root}/{path}", b"x")
    assert names(root) == sorted(paths)
    assert names(root, "a") == sorted(path for path in paths if path.startswith("a/"))
    assert names(root, "nothing") == []


def test_a_tree_is_removed_with_all_below(root):
    for path in ["a/b/c", "a/d", "ab"]:
        Storage().put(f"{root}/{path}", b"x")
    Storage().delete_tree(f"{root}/a")
    Storage().delete_tree(f"{root}/a")
    assert names(root) == ["ab"]


@pytest.mark.parametrize("above", ["", "a", "a/b"])
def test_the_current_directory_is_not_removed(tmp_path, monkeypatch, above):
    Storage().put(f"{tmp_path}/a/b/c", b"x")
    monkeypatch.chdir(tmp_path / "a" / "b")
    with pytest.raises(InputError, match="it contains the current directory"):
        Storage().delete_tree(f"{tmp_path}/{above}")
    assert Storage().read_bytes(f"{tmp_path}/a/b/c") == b"x"


def test_a_file_that_is_not_there(root):
    with pytest.raises(FileNotFoundError):
        Storage().read_bytes(f"{root}/nothing")
    with pytest.raises(FileNotFoundError):
        Storage().open_input(f"{root}/nothing").close()


@pytest.mark.parametrize("name", ["#1.wav", "a::b.wav", "100%20.wav", "é ☃.wav", "[a]*?.wav"])
def test_a_local_file_may_have_any_name(tmp_path, name):
    uri = f"{tmp_path}/{name}"
    Storage().put(uri, b"x")
    assert Storage().read_bytes(uri) == b"x"
    assert [file.uri for file in Storage().list_files(str(tmp_path))] == [uri]


def test_a_new_file_below_what_is_no_folder_raises(folder_without_links: str) -> None:
    Storage().put(f"{folder_without_links}/file", b"x")
    with pytest.raises(OSError):
        Storage().put_new(f"{folder_without_links}/file/below", b"x")


def test_a_put_that_fails_leaves_nothing(tmp_path):
    (tmp_path / "folder" / "below").mkdir(parents=True)
    with pytest.raises(OSError):
        Storage().put(str(tmp_path / "folder"), b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_links_are_followed_and_broken_ones_skipped(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a").write_bytes(b"x")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "linked").symlink_to(tmp_path / "real")
    (tmp_path / "data" / "broken").symlink_to(tmp_path / "nothing")
    assert names(str(tmp_path / "data")) == ["linked/a"]


def test_the_same_file_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert absolute_uri("../x/./y") == str(tmp_path.parent / "x" / "y")
    assert absolute_uri(f"file://{tmp_path}/a") == f"{tmp_path}/a"
    assert is_local_uri("a/b") and not is_local_uri("s3://bucket/a")
    assert join_uri("s3://bucket/", "a", "b") == "s3://bucket/a/b"
    assert join_uri("/", "a") == "/a"


def test_an_s3_uri_stays_as_it_is(s3_folder):  # noqa: F811
    assert absolute_uri(f"{s3_folder}/a") == f"{s3_folder}/a"
