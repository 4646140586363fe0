"""The README is short, and its pair and pictures are those of a real run."""

import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image
from playwright.sync_api import Browser

from curation.select.policy import REASON_LABELS
from tests import screenshots
from tests.support.paths import REPOSITORY

README = REPOSITORY / "README.md"
IMAGES = REPOSITORY / "docs" / "images"
MAX_WORDS = 1_000
MAX_IMAGE_BYTES = 200_000


def test_it_is_read_in_five_minutes() -> None:
    assert len(README.read_text().split()) <= MAX_WORDS


@pytest.fixture(scope="module")
def pictured_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of which README has a pair and a picture."""
    folder = tmp_path_factory.mktemp("screenshots") / "run"
    screenshots.build_run(folder)
    return folder


def test_its_pair_is_that_of_the_pictured_run(pictured_run: Path) -> None:
    printed = re.findall(r"^\| (.+?) \| (\d\.\d{3}) \| (.+?) \|$", README.read_text(), re.MULTILINE)
    assert len(printed) == 4
    (clip,) = read_clip(pictured_run / "evidence")
    decisions = {row["candidate"]: row for row in read_clip(pictured_run / "decisions")}
    found = {
        candidate["caption"]: (candidate["clap_score"], REASON_LABELS[decisions[place]["reason"]])
        for place, candidate in enumerate(clip["candidates"])
    }
    assert {caption for caption, *_ in printed} == found.keys()
    for caption, score, decision in printed:
        # Another processor may round the last digit otherwise.
        assert found[caption] == (pytest.approx(float(score), abs=0.0015), decision)
    assert [tag["name"] for tag in clip["tags"]] == [
        "Applause",
        "Bee, wasp, etc.",
        "Vacuum cleaner",
    ]


def read_clip(folder: Path) -> list[dict]:
    """The rows of README's clip in the Parquet files of a folder."""
    rows = pq.read_table(folder).to_pylist()
    return [row for row in rows if row["clip_id"] == screenshots.README_CLIP]


def test_the_pictures_are_small_and_can_be_made(browser: Browser, pictured_run: Path) -> None:
    for name, image in screenshots.photograph_pages(browser, pictured_run).items():
        assert len(image) < MAX_IMAGE_BYTES
        assert (IMAGES / name).stat().st_size < MAX_IMAGE_BYTES
        with Image.open(IMAGES / name) as committed:
            assert committed.size[0] == 1280
