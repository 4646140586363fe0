"""The image of the nodes: what it copies is there, and its processes are not root's."""

import re
from fnmatch import fnmatch

from tests.support.nodes import CONFIGS
from tests.support.paths import REPOSITORY

DOCKERFILE = (CONFIGS / "Dockerfile").read_text()
IGNORED = [
    line
    for line in (REPOSITORY / ".dockerignore").read_text().splitlines()
    if line and not line.startswith("#")
]


def test_its_processes_are_not_roots() -> None:
    users = re.findall(r"^USER (\S+)$", DOCKERFILE, re.MULTILINE)
    # Kubernetes' runAsNonRoot needs a number.
    assert users[-1].isdigit() and int(users[-1]) != 0


def test_what_the_build_and_the_nodes_need_is_not_ignored() -> None:
    needed = {"curation", "training", "ray_configs", "constraints.txt", "pyproject.toml"}
    needed |= {"README.md", "LICENSE", "NOTICE"}
    for name in needed:
        assert (REPOSITORY / name).exists()
        assert not [pattern for pattern in IGNORED if fnmatch(name, pattern)]
    assert {".git", ".venv", "tests", "runs"} <= set(IGNORED)
