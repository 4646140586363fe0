"""A real headless Chromium for tests of pages, and what it saw: errors, requests, accessibility.

Debian's package is chromium; `.ci/run` installs it. Where it is missing a test skips, unless CI is
set: then it fails.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
WIDE, NARROW = 1280, 390
# A machine that runs other tests beside may be slow; none of this is waited for in vain.
_SLOW_MS = 60_000
expect.set_options(timeout=_SLOW_MS)
# What axe says of lesser faults ("minor", "moderate") is taste.
_SERIOUS = ("serious", "critical")


def need_chromium() -> str:
    """The path of Chromium. Skips the test where there is none; in CI, fails it."""
    found = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if found:
        return found
    message = "no Chromium here; Debian's package is chromium"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless browser, without its sandbox where the user is root, as there it has none."""
    program = need_chromium()
    flags = ["--autoplay-policy=no-user-gesture-required", "--mute-audio", "--disable-gpu"]
    if os.getuid() == 0:
        flags.append("--no-sandbox")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=flags, timeout=_SLOW_MS)
        yield browser
        browser.close()


@dataclass
class Seen:
    """What a page did: what its console complained of, and the hosts that it asked."""

    complaints: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)

    def console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def request(self, request: Request) -> None:
        address = urlsplit(request.url)
        if address.scheme not in ("blob", "data"):
            self.hosts.add(address.hostname or address.scheme)


@contextmanager
def open_page(
    browser: Browser, url: str, width: int = WIDE, scheme: Literal["light", "dark"] = "light"
) -> Iterator[tuple[Page, Seen]]:
    """A page in a window of its own, and what it does from its beginning."""
    size: Any = {"width": width, "height": 900 if width == WIDE else 844}
    context = browser.new_context(viewport=size, color_scheme=scheme, reduced_motion="reduce")
    page, seen = context.new_page(), Seen()
    page.set_default_timeout(_SLOW_MS)
    page.on("console", seen.console)
    page.on("pageerror", lambda error: seen.complaints.append(str(error)))
    page.on("request", seen.request)
    page.goto(url)
    yield page, seen
    context.close()


def serious_findings(page: Page) -> list[str]:
    """What axe-core holds for serious or worse: rule, what it means, and where."""
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [
        f"{each['id']}: {each['help']} ({[node['target'] for node in each['nodes']]})"
        for each in found
        if each["impact"] in _SERIOUS
    ]
