"""A disk of a few kilobytes, for a program of its own: a tmpfs that nobody else sees."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import REPOSITORY


def run_on_small_disk(folder: Path, kilobytes: int, code: str) -> subprocess.CompletedProcess[str]:
    """Run Python code in which `folder` is a disk of that size, empty at first.

    Skips the test where this machine allows no mount in a namespace.
    """
    folder.mkdir(exist_ok=True)
    mount = f"mount -t tmpfs -o size={kilobytes}k tmpfs {folder}"
    namespace = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    try:
        subprocess.run([*namespace, mount], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no tmpfs can be mounted here: {error}")
    return subprocess.run(
        [*namespace, f'{mount} && exec "$0" -c "$1"', sys.executable, code],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
    )
