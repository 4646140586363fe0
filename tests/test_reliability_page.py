"""docs/reliability.md: each promise names tests that exist."""

import re

import pytest

from tests.support.paths import REPOSITORY

PAGE = (REPOSITORY / "docs" / "reliability.md").read_text()
ROWS = [
    line
    for line in PAGE.splitlines()
    if line.startswith("| ") and not line.startswith("| failure |")
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip()[:40])
def test_a_promise_names_its_test(row: str) -> None:
    failure, promise, named = [cell.strip() for cell in row.strip("|").split("|")]
    files = re.findall(r"`([\w/]+\.py)`", named)
    assert failure and promise and files
    for file in files:
        assert (REPOSITORY / "tests" / file).is_file(), file
