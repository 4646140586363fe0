"""The review page in a real browser: play, filter, move the threshold, mark by keyboard alone."""

import os
import re
from collections import Counter
from itertools import product
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
from playwright.sync_api import Browser, Page, expect

from curation.config.policy import Policy
from curation.review import marks
from curation.run import evidence as run_evidence
from curation.run.layout import RunFolder
from curation.select import policy as select_policy
from curation.text_safety import escape_invisible
from tests.review.conftest import HOSTILE, Reviewed
from tests.support.chromium import NARROW, WIDE, open_page, serious_findings

LOOPBACK = {"127.0.0.1"}
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


def ready(page: Page) -> None:
    expect(page.locator("#rows > li").first).to_be_visible()
    expect(page.locator("#histogram svg")).to_be_visible()
    expect(page.locator("#curve svg")).to_be_visible()


def test_ten_captions_are_marked_by_keyboard_alone(browser: Browser, marking: Reviewed) -> None:
    with open_page(browser, marking.address) as (page, seen):
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
    written = marks.read_marks(RunFolder.from_config(marking.config))
    assert [mark.verdict for mark in written].count("good") == 8
    assert [mark.verdict for mark in written].count("bad") == 2
    assert written[-1].corrected == "a cat meows"
    assert {mark.sample for mark in written} == {marking.answers.index.metadata.sample_design}
    assert seen.complaints == [] and seen.hosts == LOOPBACK


def test_a_clip_is_played(browser: Browser, reviewed: Reviewed) -> None:
    with open_page(browser, reviewed.address) as (page, seen):
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
    with open_page(browser, reviewed.address) as (page, seen):
        ready(page)
        before, first = page.locator("#yield dd").first, page.locator("#rows > li").first
        accepted, caption = before.inner_text(), first.inner_text()
        for _ in range(40):
            page.keyboard.press("]")
        expect(before).not_to_have_text(accepted)
        expect(first).not_to_have_text(caption)
    assert seen.complaints == []


def test_what_is_shown_is_filtered(browser: Browser, reviewed: Reviewed) -> None:
    with open_page(browser, reviewed.address) as (page, seen):
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
    with open_page(browser, reviewed.address) as (page, seen):
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
    with open_page(browser, reviewed.address) as (page, seen):
        ready(page)
        page.locator("#text").fill("onerror")
        expect(page.locator("#rows > li")).to_have_count(1)
        expect(page.locator(".caption")).to_have_text(escape_invisible(f"{HOSTILE} 0"))
        page.keyboard.press("Escape")
        page.keyboard.press("i")
        expect(page.locator(".details")).to_contain_text(escape_invisible(HOSTILE))
        assert page.locator("#rows img, #rows script").count() == 0
    assert seen.complaints == [] and seen.hosts == LOOPBACK


def test_the_second_scorer_has_a_threshold_of_its_own(
    browser: Browser, reviewed: Reviewed, second_scorer: Reviewed
) -> None:
    name = "Second scorer's threshold as a number"
    with open_page(browser, second_scorer.address) as (page, seen):
        ready(page)
        expect(page.locator("#rows > li").first).to_contain_text("second scorer 0.")
        expect(page.locator("#rows > li").first).not_to_contain_text("log-prob")
        expect(page.locator("#first select").first.locator("option")).to_have_text("CLAP score")
        page.get_by_label("Compare with a second policy").check()
        expect(page.locator("#overlap tbody tr").nth(1)).to_contain_text("only0")
        threshold = page.get_by_role("form", name="Policy", exact=True).get_by_label(name)
        threshold.fill("0.5")
        threshold.press("Enter")
        rejected = select_counts(second_scorer, Policy(min_score=0.3, min_second_score=0.5))
        expect(page.locator("#yield")).to_contain_text(
            f"{rejected['below_second_threshold']} below its threshold"
        )
        expect(page.locator("#yield")).to_contain_text(f"{rejected['accepted']} of 153 captions")
        expect(page.locator("#overlap tbody tr").nth(2)).not_to_contain_text("only0")
        page.locator("#outcome").select_option("below_second_threshold")
        total = rejected["below_second_threshold"]
        expect(page.locator("#shown")).to_have_text(f"1 to 50 of {total}, 0 of them accepted")
    assert seen.complaints == []
    with open_page(browser, reviewed.address) as (page, seen):
        ready(page)
        expect(page.get_by_label(name)).to_have_count(0)
        expect(page.locator("main")).not_to_contain_text("second scorer")
        expect(page.locator("#rows > li").first).to_contain_text("log-prob -")
    assert seen.complaints == []


def test_the_page_is_accessible_and_no_wider_than_its_window(
    browser: Browser, marking: Reviewed, tmp_path: Path
) -> None:
    folder = Path(os.environ.get("TAGSCRIBE_SCREENSHOTS", tmp_path))
    with open_page(browser, marking.address) as (page, seen):
        ready(page)
        page.get_by_label("Compare with a second policy").check()
        expect(page.locator("#overlap tbody tr")).to_have_count(3)
        page.get_by_role("button", name="Mark good: a dog barks 16").click()
        expect(page.locator("#rows > li.good")).to_have_count(1)
        # What axe looks at are these rows; forty more that are like them only take its time.
        page.locator("#text").fill("dog barks 1")
        expect(page.locator("#shown")).to_contain_text("1 to 10 of 10")
        page.keyboard.press("Escape")
        page.keyboard.press("i")
        expect(page.locator(".details")).to_have_count(1)
        for width, scheme in product((WIDE, NARROW), SCHEMES):
            page.emulate_media(color_scheme=scheme)
            page.set_viewport_size({"width": width, "height": 900})
            assert serious_findings(page) == [], f"{scheme}, {width} wide"
            assert page.evaluate("document.documentElement.scrollWidth") <= width, scheme
            page.screenshot(path=folder / f"review-{scheme}-{width}.png")
    assert seen.complaints == []


def select_counts(served: Reviewed, policy: Policy) -> dict[str, int]:
    """What `tagscribe select` makes of a run's captions, by reason."""
    evidence = pa.concat_tables(
        run_evidence.read_evidence_shards(
            RunFolder.from_config(served.config),
            run_evidence.list_done_shards(RunFolder.from_config(served.config)),
        )
    ).to_pylist()
    flat = [(clip, each) for clip, row in enumerate(evidence) for each in row["candidates"]]
    scores = {
        name: np.array([each[name] for _, each in flat], np.float64)
        for name in ("clap_score", "second_score", "log_prob")
    }
    clip = np.array([clip for clip, _ in flat])
    candidates = select_policy.Candidates(
        clip=clip, clip_tag=np.zeros(len(evidence), int), **scores
    )
    return Counter(select_policy.decide(candidates, policy).reason.tolist())
