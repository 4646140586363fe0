"""docs/architecture.md names files that exist, and every folder of the packages."""

import re
from pathlib import Path

import pytest

from tests.lint_names import REPOSITORY

PAGE = (REPOSITORY / "docs" / "architecture.md").read_text()
PLACES = sorted(set(re.findall(r"`((?:curation|training)/[\w/.]*)`", PAGE)))
# In the two lists of steps, paths start inside `curation/`.
STEPS = PAGE[PAGE.index("## From a clip") : PAGE.index("## To change X")]
SHORT = sorted(set(re.findall(r"`([a-z_]+/[\w/]*(?:\.py)?)`", STEPS)))
FOLDERS = [
    path.relative_to(REPOSITORY)
    for package in ("curation", "training")
    for path in sorted((REPOSITORY / package).iterdir())
    if (path / "__init__.py").is_file()
]


@pytest.mark.parametrize("place", PLACES)
def test_a_path_from_the_root_exists(place: str) -> None:
    assert (REPOSITORY / place).exists()


@pytest.mark.parametrize("place", SHORT)
def test_a_path_of_the_steps_exists(place: str) -> None:
    roots = (REPOSITORY, REPOSITORY / "curation")
    run_folder = {"decisions/", "plan/"}
    assert place in run_folder or any((root / place).exists() for root in roots)


@pytest.mark.parametrize("folder", FOLDERS, ids=str)
def test_each_folder_is_in_the_list_of_folders(folder: Path) -> None:
    plan = PAGE[: PAGE.index("## From a clip")]
    assert f"`{folder.name}/`" in plan


@pytest.mark.parametrize("folder", FOLDERS, ids=str)
def test_each_folder_says_what_it_does(folder: Path) -> None:
    assert (REPOSITORY / folder / "__init__.py").read_text().startswith('"""')
