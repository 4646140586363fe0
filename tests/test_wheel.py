"""The wheel alone: it holds every file of the packages, and its commands run without the checkout.

It is installed into a fresh virtual environment that finds the third-party packages of this one
through a .pth file. Of a .pth file's folder no other .pth file is read, so that the editable
installation of the checkout is not found.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest
import yaml

from curation import __version__
from curation.synth.corpus import write_corpus
from tests.support.paths import REPOSITORY

PACKAGES = ("curation", "training")
# What a build reads beside the packages.
BUILD_FILES = ("pyproject.toml", "README.md", "LICENSE", "NOTICE")
CLIPS = 8


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the sources: a build leaves folders beside them."""
    source = tmp_path_factory.mktemp("source")
    for package in PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(REPOSITORY / package, source / package, ignore=ignored)
    for name in BUILD_FILES:
        shutil.copy(REPOSITORY / name, source)
    out = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", *PIP, "--no-build-isolation", "-w", out, source)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the programs of an environment in which the wheel is installed."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", *PIP, "--no-index", wheel)
    own = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    # Last, as pip would take the checkout's installation for one of this environment.
    (Path(own) / "third_party.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin"


PIP = ("--quiet", "--disable-pip-version-check", "--no-deps")


def run(*command: object, cwd: Path | None = None) -> str:
    """What a program prints, which must succeed; it does not inherit PYTHONPATH."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    ended = subprocess.run(
        [*map(str, command)], capture_output=True, text=True, cwd=cwd, env=environment, timeout=300
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_it_holds_every_file_of_the_packages_and_the_licences(wheel: Path) -> None:
    expected = {
        str(path.relative_to(REPOSITORY))
        for package in PACKAGES
        for path in (REPOSITORY / package).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        about = f"tagscribe-{__version__}.dist-info"
        metadata = archive.read(f"{about}/METADATA").decode()
    assert {name for name in names if not name.startswith(about)} == expected
    assert {f"{about}/licenses/LICENSE", f"{about}/licenses/NOTICE"} <= names
    assert "License-Expression: Apache-2.0 AND CC-BY-SA-4.0\n" in metadata


@pytest.mark.slow
def test_its_commands_run_without_the_checkout(programs: Path, tmp_path: Path) -> None:
    where = "import curation, training; print(curation.__file__, training.__file__)"
    for path in run(programs / "python", "-c", where, cwd=tmp_path).split():
        assert Path(path).is_relative_to(programs.parent)
    for program in ("tagscribe", "tagscribe-train"):
        assert run(programs / program, "--version", cwd=tmp_path) == f"tagscribe {__version__}\n"

    write_corpus(str(tmp_path / "corpus"), clips=CLIPS, seed=1)
    config = {
        "run": "run",
        "catalog": {
            "kind": "audioset",
            "segments": "corpus/segments_noisy.csv",
            "audio": "corpus/audio",
        },
        "select": {"top_fraction": 0.5},
    }
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(config))
    output = run(programs / "tagscribe", "run", "run.yaml", "--quiet", cwd=tmp_path)
    assert f"{CLIPS} clips: {CLIPS} ok" in output
    assert f"table version 0 holds {CLIPS // 2} pairs" in output
    report = run(programs / "tagscribe", "report", "run.yaml", "--quiet", cwd=tmp_path)
    assert f"{CLIPS} clips to hear" in report
    assert "Qwen/Qwen2-Audio-7B-Instruct" in run(programs / "tagscribe", "models", "list")
