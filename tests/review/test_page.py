"""The review page in a real browser: play, filter, move the threshold, mark by keyboard alone."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, expect

from curation.review import marks
from curation.visible import visible
from tests.chromium import NARROW, WIDE, chromium, opened, serious_findings
from tests.review.conftest import HOSTILE, Reviewed

LOOPBACK = {"127.0.0.1"}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


def ready(page: Page) -> None:
    expect(page.locator("#rows > li").first).to_be_visible()
    expect(page.locator("#histogram svg")).to_be_visible()
    expect(page.locator("#curve svg")).to_be_visible()


def test_ten_captions_are_marked_by_keyboard_alone(browser: Browser, reviewed: Reviewed) -> None:
    with opened(browser, reviewed.address) as (page, seen):
        ready(page)
        page.keyboard.press("s")
        expect(page.locator("#sample-note")).to_be_visible()
        for place, key in enumerate("gbgggbgggg", start=1):
            page.keyboard.press(key)
            expect(page.locator("#rows > li.good, #rows > li.bad")).to_have_count(place)
        expect(page.locator("#curve-note")).to_contain_text("of 10 marks of the sample")
        page.keyboard.press("c")
        page.keyboard.press("Control+a")
        page.keyboard.type("a cat meows")
        page.keyboard.press("Enter")
        expect(page.locator("#rows > li.corrected")).to_contain_text("a cat meows")
    written = marks.read(reviewed.config.run)
    assert [mark.verdict for mark in written].count("good") == 8
    assert [mark.verdict for mark in written].count("bad") == 2
    assert written[-1].corrected == "a cat meows"
    assert {mark.sample for mark in written} == {reviewed.answers.index.about.design}
    assert seen.complaints == [] and seen.hosts == LOOPBACK


def test_a_clip_is_played(browser: Browser, reviewed: Reviewed) -> None:
    with opened(browser, reviewed.address) as (page, seen):
        ready(page)
        page.keyboard.press("j")
        page.keyboard.press(" ")
        player = page.locator("#player")
        expect(player).to_have_js_property("paused", False)
        while player.evaluate("element => element.currentTime") < 0.05:
            page.wait_for_timeout(50)
        assert player.evaluate("element => element.duration") > 1
    assert seen.complaints == [] and seen.hosts == LOOPBACK


def test_moving_the_threshold_changes_yield_and_examples(
    browser: Browser, reviewed: Reviewed
) -> None:
    with opened(browser, reviewed.address) as (page, seen):
        ready(page)
        before, first = page.locator("#yield dd").first, page.locator("#rows > li").first
        accepted, caption = before.inner_text(), first.inner_text()
        for _ in range(40):
            page.keyboard.press("]")
        expect(before).not_to_have_text(accepted)
        expect(first).not_to_have_text(caption)
    assert seen.complaints == []


def test_what_is_shown_is_filtered(browser: Browser, reviewed: Reviewed) -> None:
    with opened(browser, reviewed.address) as (page, seen):
        ready(page)
        page.keyboard.press("/")
        page.keyboard.type("engine 2")
        expect(page.locator("#shown")).to_contain_text("1 to 11 of 11")
        page.locator("#outcome").select_option(label="accepted")
        expect(page.locator("#shown")).to_have_text("nothing is like this")
        page.locator("#text").fill("")
        page.locator("#outcome").select_option(label="error decode/truncated")
        expect(page.locator("#rows > li")).to_have_count(1)
    assert seen.complaints == []


def test_two_policies_are_compared(browser: Browser, reviewed: Reviewed) -> None:
    with opened(browser, reviewed.address) as (page, seen):
        ready(page)
        page.get_by_label("Compare with a second policy").check()
        expect(page.locator("#overlap tbody tr")).to_have_count(3)
        second = page.get_by_role("form", name="Second policy")
        second.get_by_label("Threshold as a number").fill("0.45")
        second.get_by_label("Threshold as a number").press("Enter")
        page.locator("#compared").select_option("only_first")
        expect(page.locator("#overlap tbody tr").nth(2)).to_contain_text("0")
        expect(page.locator("#shown")).to_have_text(
            re.compile(r"1 to (\d+) of \1, \1 of them accepted")
        )
    assert seen.complaints == []


def test_texts_of_strangers_are_shown_as_text(browser: Browser, reviewed: Reviewed) -> None:
    with opened(browser, reviewed.address) as (page, seen):
        ready(page)
        page.locator("#text").fill("onerror")
        expect(page.locator("#rows > li")).to_have_count(1)
        expect(page.locator(".caption")).to_have_text(visible(f"{HOSTILE} 0"))
        page.keyboard.press("Escape")
        page.keyboard.press("i")
        expect(page.locator(".known")).to_contain_text(visible(HOSTILE))
        assert page.locator("#rows img, #rows script").count() == 0
    assert seen.complaints == [] and seen.hosts == LOOPBACK


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_the_page_is_accessible_and_no_wider_than_its_window(
    browser: Browser,
    reviewed: Reviewed,
    width: int,
    scheme: Literal["light", "dark"],
    tmp_path: Path,
) -> None:
    with opened(browser, reviewed.address, width, scheme) as (page, seen):
        ready(page)
        page.get_by_label("Compare with a second policy").check()
        expect(page.locator("#overlap tbody tr")).to_have_count(3)
        page.locator("#rows > li").first.get_by_role("button", name="Mark good").click()
        expect(page.locator("#rows > li.good")).to_have_count(1)
        page.keyboard.press("i")
        expect(page.locator(".known")).to_have_count(1)
        assert serious_findings(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        folder = Path(os.environ.get("TAGSCRIBE_SCREENSHOTS", tmp_path))
        page.screenshot(path=folder / f"review-{scheme}-{width}.png")
    assert seen.complaints == []
