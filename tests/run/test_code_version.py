"""The code that wrote a row is known: by commit in a checkout, by its files everywhere."""

import shutil
import subprocess
from pathlib import Path

import pytest

from curation.run.code_version import (
    find_code_version,
    format_code_version,
    hash_package,
    read_code_version,
)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Two small packages, as they lie in a checkout or an installation."""
    folder = tmp_path / "source"
    for package in ("curation", "training"):
        (folder / package).mkdir(parents=True)
        (folder / package / "__init__.py").write_text(f'"""{package}"""\n')
    return folder


@pytest.fixture
def checkout(source: Path) -> Path:
    git(source, "init", "--quiet")
    git(source, "add", ".")
    git(source, "commit", "--quiet", "--message", "first")
    return source


def hashes(folder: Path) -> dict[str, str]:
    return {f"{name}_sha256": hash_package(folder / name) for name in ("curation", "training")}


def git(folder: Path, *arguments: str) -> str:
    user = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    command = ["git", *user, "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_a_checkout_has_its_commit_and_the_hash_of_its_files(checkout: Path) -> None:
    assert find_code_version(checkout) == {
        "commit": git(checkout, "rev-parse", "HEAD"),
        **hashes(checkout),
    }


@pytest.mark.parametrize("file", ["curation/__init__.py", "training/new.py"])
def test_a_changed_or_a_new_file_makes_the_checkout_dirty(checkout: Path, file: str) -> None:
    before = find_code_version(checkout)
    (checkout / file).write_text("changed = True\n")
    after = find_code_version(checkout)
    assert after["commit"] == before["commit"] + "-dirty"
    changed = [name for name in hashes(checkout) if after[name] != before[name]]
    assert changed == [f"{file.partition('/')[0]}_sha256"]


def test_files_beside_the_packages_do_not_matter(checkout: Path) -> None:
    before = find_code_version(checkout)
    (checkout / "notes.txt").write_text("of mine")
    (checkout / "curation" / "__pycache__").mkdir()
    (checkout / "curation" / "__pycache__" / "x.pyc").write_bytes(b"compiled")
    (checkout / ".git" / "info" / "exclude").write_text("__pycache__/\n")
    assert find_code_version(checkout) == before


def test_an_installation_has_the_hash_of_its_files_alone(source: Path, tmp_path: Path) -> None:
    assert find_code_version(source) == hashes(source)
    shutil.copytree(source, tmp_path / "copy")
    assert find_code_version(tmp_path / "copy") == find_code_version(source)


def test_a_job_that_has_one_package_names_the_same_hash(source: Path) -> None:
    before = find_code_version(source)
    shutil.rmtree(source / "training")
    assert find_code_version(source) == {"curation_sha256": before["curation_sha256"]}


def test_an_installation_within_another_checkout_does_not_take_its_commit(
    checkout: Path, source: Path
) -> None:
    site = checkout / "venv"
    for package in ("curation", "training"):
        shutil.copytree(source / package, site / package)
    assert "commit" not in find_code_version(site)


def test_without_git_there_is_no_commit(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(checkout / "nothing"))
    assert find_code_version(checkout) == hashes(checkout)


def test_variables_of_git_name_no_other_repository(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = find_code_version(checkout)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    assert find_code_version(checkout) == expected


def test_the_running_code_is_read_once() -> None:
    assert read_code_version() is read_code_version()
    assert len(read_code_version()["curation_sha256"]) == 64


def test_messages_name_the_code() -> None:
    assert format_code_version({"commit": "ab12-dirty"}) == "commit ab12-dirty (git checkout ab12)"
    assert format_code_version({"curation_sha256": "0" * 64}) == "a package of SHA-256 000000000000"
    assert format_code_version(None) == "a version that it does not name"
