"""Identifies the running code: the commit of a git checkout, and hashes of the installed packages.

The version is recorded with the files that the code writes. Versions are never compared, so a run
can be resumed with new code.
"""

import hashlib
import os
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path

# Both packages are in one folder, in a checkout and in an installation.
_ROOT = Path(__file__).resolve().parents[2]
_PACKAGES = ("curation", "training")
# Weights are known by hashes of their own, in run.json under `models`.
_IGNORED_SUFFIXES = frozenset({".pyc", ".safetensors"})
_GIT_TIMEOUT_S = 20.0


@cache
def read_code_version() -> dict[str, str]:
    """Return the version of this process's code, see `find_code_version`.

    The first call takes about 50 ms and runs three git processes; the result is cached.
    """
    return find_code_version(_ROOT)


def find_code_version(root: Path) -> dict[str, str]:
    """Find the version of the code in a folder that contains the packages.

    Returns:
        `curation_sha256` and, if installed, `training_sha256`, each from `hash_package`. If git
        tracks the packages, also `commit`: 40 hex digits, followed by `-dirty` if a file differs
        from the commit or is not in it. A job on a cluster has only `curation`.
    """
    packages = [name for name in _PACKAGES if (root / name).is_dir()]
    version = {f"{name}_sha256": hash_package(root / name) for name in packages}
    if commit := _find_commit(root):
        version["commit"] = commit
    return version


def hash_package(folder: Path) -> str:
    """Compute the SHA-256 over paths and content of a package's source and data files."""
    sha = hashlib.sha256()
    files = {file.relative_to(folder).as_posix(): file for file in folder.rglob("*")}
    for path, file in sorted(files.items()):
        if file.is_file() and file.suffix not in _IGNORED_SUFFIXES:
            sha.update(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {path}\n".encode())
    return sha.hexdigest()


def format_code_version(code: Mapping[str, str] | None) -> str:
    """Format for messages how to obtain the code that wrote a file."""
    if commit := (code or {}).get("commit"):
        return f"commit {commit} (git checkout {commit.removesuffix('-dirty')})"
    if package := (code or {}).get("curation_sha256"):
        return f"a package of SHA-256 {package[:12]}"
    return "a version that it does not name"


def _find_commit(root: Path) -> str | None:
    """The commit, or None outside a checkout, without git, or where git refuses the folder."""
    tracked = _git(root, "ls-files", "--error-unmatch", "curation/__init__.py")
    commit = _git(root, "rev-parse", "HEAD")
    changes = _git(root, "status", "--porcelain", "--", *_PACKAGES)
    # An installation inside another project's checkout is not tracked by it.
    if not tracked or not commit or changes is None:
        return None
    return f"{commit}-dirty" if changes else commit


def _git(root: Path, *arguments: str) -> str | None:
    # Variables such as GIT_DIR, which git sets for its hooks, name another repository.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    command = ["git", "--no-optional-locks", "-C", str(root), *arguments]
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=_GIT_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
