"""The report in a real browser: no error, no request, sounds that play, and no serious finding."""

from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser

from curation.run.layout import RunFolder
from curation.select import apply
from tests.report.page_of import build_page
from tests.report.runs import candidate, failed, noise, served, tag, written_run
from tests.support.chromium import NARROW, WIDE, open_page, serious_findings

_PLAY = """async (player) => { await player.play(); return player.duration; }"""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A page of two example clips and an error."""
    folder = tmp_path_factory.mktemp("browser")
    noise(folder / "noise.wav")
    tags = [tag("/m/05tny_", "Bark")]
    rows = [
        served(
            f"clip{n}",
            folder / "noise.wav",
            tags=tags,
            candidates=[candidate("a dog barks", 0.4 + n / 10), candidate("a cat", 0.1)],
        )
        for n in range(2)
    ]
    config = written_run(
        folder / "run",
        [rows, [failed("clip2", "decode", "truncated")]],
        select={"top_fraction": 0.5},
    )
    apply.select_pairs(config)
    path = folder / "report.html"
    path.write_text(build_page(RunFolder.from_config(config)).html)
    return path.as_uri()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_anyone_can_use_the_page(
    browser: Browser, url: str, width: int, scheme: Literal["light", "dark"]
) -> None:
    with open_page(browser, url, width, scheme) as (page, seen):
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert seen.complaints == [] and seen.hosts == {"file"}
        assert serious_findings(page) == []


def test_one_sound_plays_at_a_time(browser: Browser, url: str) -> None:
    with open_page(browser, url) as (page, _):
        first, second = page.locator("audio").all()
        assert first.evaluate(_PLAY) == pytest.approx(0.5, abs=0.03)
        second.evaluate(_PLAY)
        assert first.evaluate("player => player.paused")


def test_one_group_can_be_shown_alone(browser: Browser, url: str) -> None:
    with open_page(browser, url) as (page, _):
        page.get_by_label("Show").select_option("error: decode/truncated")
        assert page.locator("article:visible h4").all_inner_texts() == ["clip2"]
        page.get_by_label("Show").select_option("all groups")
        assert page.locator("article:visible").count() == 3


def test_texts_of_strangers_are_shown_and_do_nothing_else(
    browser: Browser, hostile: str, tmp_path: Path
) -> None:
    path = tmp_path / "report.html"
    path.write_text(hostile)
    dialogs = []
    with open_page(browser, path.as_uri()) as (page, seen):
        page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
        page.wait_for_load_state("networkidle")
        assert page.locator("script").count() == 1
        assert (seen.complaints, seen.hosts, dialogs) == ([], {"file"}, [])
