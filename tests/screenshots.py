"""Makes the pictures of README and docs from a real small run: `make screenshots`.

Writes a procedural corpus of 120 clips with noisy tags, runs the engine with the built-in models,
opens the run's review page and report in Chromium, and photographs both.

    python -m tests.screenshots [--images docs/images]

Prints each picture's size. The run stays in $TMPDIR/tagscribe-screenshots:

    tagscribe show /tmp/tagscribe-screenshots F3qIjJjtE4M_0      # the pair that README shows
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import yaml
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from curation.synth.corpus import write_corpus
from tests.support.chromium import WIDE, chromium, open_page

CLIPS, SEED = 120, 1
# The clip of README: one of its tags is wrong, and so are three of its four candidates.
README_CLIP = "F3qIjJjtE4M_0"
# A path that says nothing of the machine, as both pages show it.
RUN = Path(tempfile.gettempdir()) / "tagscribe-screenshots"
REVIEW_HEIGHT, REPORT_HEIGHT = 1010, 1040
# A palette keeps each picture below 100 kB.
COLORS = 128
_TAGSCRIBE = [sys.executable, "-m", "curation.cli.main"]
_ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+/#\S+")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, default=Path("docs/images"))
    options = parser.parse_args()
    shutil.rmtree(RUN, ignore_errors=True)
    build_run(RUN)
    options.images.mkdir(parents=True, exist_ok=True)
    with chromium() as browser:
        images = photograph_pages(browser, RUN)
    for name, image in images.items():
        path = options.images / name
        path.write_bytes(image)
        print(f"{path}: {len(image) / 1000:.0f} kB")


def build_run(run: Path) -> None:
    """Make corpus, run and report in the new folder `run`, by the commands of a user."""
    corpus, config = run / "corpus", run / "run.yaml"
    write_corpus(str(corpus), CLIPS, SEED, workers=os.cpu_count() or 1)
    values = {
        "run": str(run),
        "catalog": {
            "kind": "audioset",
            "segments": str(corpus / "segments_noisy.csv"),
            "audio": str(corpus / "audio"),
        },
        "select": {"score": "clap", "top_fraction": 0.5},
    }
    config.write_text(yaml.safe_dump(values, sort_keys=False))
    for command in ("run", "report"):
        subprocess.run([*_TAGSCRIBE, command, str(config), "--quiet"], check=True)


def photograph_pages(browser: Browser, run: Path) -> dict[str, bytes]:
    """The pictures by their file names, as PNG."""
    return {
        "review.png": photograph_review(browser, run),
        "report.png": photograph_report(browser, run),
    }


def photograph_review(browser: Browser, run: Path) -> bytes:
    """The review page with the clip of README, as PNG."""
    with serve_review(run) as address, open_page(browser, address) as (page, _):
        expect(page.locator("#histogram svg")).to_be_visible()
        page.locator("#text").fill(README_CLIP)
        expect(page.locator("#shown")).to_contain_text("1 to 4 of 4,")
        page.locator("#rows > li").first.focus()
        page.keyboard.press("i")
        expect(page.locator("#rows > li").first).to_contain_text("written by")
        return photograph(page, REVIEW_HEIGHT)


def photograph_report(browser: Browser, run: Path) -> bytes:
    """The top of the report, as PNG."""
    with open_page(browser, (run / "report.html").resolve().as_uri()) as (page, _):
        return photograph(page, REPORT_HEIGHT)


def photograph(page: Page, height: int) -> bytes:
    """The first `height` pixels of a page, as PNG of few colours."""
    page.set_viewport_size({"width": WIDE, "height": height})
    with Image.open(BytesIO(page.screenshot())) as image:
        few = image.convert("RGB").quantize(COLORS, dither=Image.Dither.NONE)
        out = BytesIO()
        few.save(out, "PNG", optimize=True)
    return out.getvalue()


@contextmanager
def serve_review(run: Path) -> Iterator[str]:
    """The address of a run's review page, as long as the block lasts."""
    command = [*_TAGSCRIBE, "review", str(run), "--no-browser", "--quiet", "--marker", "Ann"]
    environment = {**os.environ, "XDG_CACHE_HOME": str(run / "cache"), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as server:
        assert server.stdout
        lines = iter(server.stdout.readline, "")
        found = next(filter(None, map(_ADDRESS.search, lines)), None)
        try:
            if found is None:
                raise SystemExit("tagscribe review printed no address")
            yield found.group()
        finally:
            server.terminate()


if __name__ == "__main__":
    main()
