"""The page itself: templates filled so that whatever a run holds is shown as text, and its size."""

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from curation import state, storage
from curation.report import examples, sections
from curation.report.examples import Example
from curation.report.gathered import Gathered, gather
from curation.report.heard import Heard
from curation.visible import visible

MOST_BYTES = 15_000_000
# Longer texts are cut: a page is to be read.
_LONGEST_TEXT = 2000
# What the clips' headings and counts may add to a page that was measured without clips.
_SLACK_BYTES = 2048


@dataclass(frozen=True)
class Report:
    """A page, and how many of the clips that were drawn are on it, and can be heard there."""

    html: str
    drawn: int
    shown: int
    audible: int


def report(
    run_uri: str,
    clips: int,
    on_shard: Callable[[int, int], None],
    most_bytes: int = MOST_BYTES,
) -> Report:
    """The report of a run.

    Args:
        run_uri: the run's folder.
        clips: size of the sample to hear.
        on_shard: called with shards read and shards in all.
        most_bytes: the page's size; the sample is cut to keep it, sounds first.

    Raises InputError where there is no run, no evidence, or decisions that do not fit it.
    """
    gathered = gather(run_uri, clips, on_shard)
    drawn = examples.read(run_uri, gathered.drawn, gathered.scores)
    templates = _environment()
    page = _Page(templates, gathered, {example.stratum: [] for example in drawn}, len(drawn))
    left = most_bytes - len(page.html().encode()) - _SLACK_BYTES
    heard = examples.hear(drawn)
    full = False
    for example in drawn:
        sound = Heard(missing=page.left_out) if full else next(heard)
        block = page.clip(example, sound)
        if len(block.encode()) > left and sound.sound:
            full = True
            sound = Heard(missing=page.left_out)
            block = page.clip(example, sound)
        if len(block.encode()) > left:
            continue
        left -= len(block.encode())
        page.add(example, block, bool(sound.sound))
    return Report(page.html(), len(drawn), page.shown, page.audible)


class _Page:
    """A page that is being filled with clips."""

    left_out = "left out, to keep the page small"

    def __init__(
        self,
        templates: Environment,
        gathered: Gathered,
        groups: dict[str, list[Markup]],
        drawn: int,
    ) -> None:
        self._page, self._clip = (templates.get_template(f"{n}.html") for n in ("page", "clip"))
        script = templates.get_template("page.js").render()
        digest = hashlib.sha256(script.encode()).digest()
        self._context = sections.context(gathered) | {
            "script": Markup(script),
            "script_sha256": base64.b64encode(digest).decode(),
        }
        self._columns = {
            "second": bool(np.isfinite(gathered.scores.second).any()),
            "own_score": gathered.lineage.get("policy", {}).get("score", "clap") != "clap",
        }
        self._groups = groups
        self._drawn = drawn
        self.shown = 0
        self.audible = 0

    def clip(self, example: Example, heard: Heard) -> Markup:
        told = {"row": example.row, "tags": example.tags, "candidates": example.candidates}
        return Markup(self._clip.render(**told, **self._columns, heard=heard))

    def add(self, example: Example, block: Markup, audible: bool) -> None:
        self._groups[example.stratum].append(block)
        self.shown += 1
        self.audible += audible

    def html(self) -> str:
        cut = ""
        if self.shown < self._drawn:
            cut = f"{self._drawn - self.shown} more were drawn and left out, to keep it small."
        # An empty page has all headings, since it is there to be measured.
        groups = {name: clips for name, clips in self._groups.items() if clips or not self.shown}
        return self._page.render(**self._context, groups=groups, shown=self.shown, cut=cut)


def write(out: str, page: Report) -> None:
    """Put the page at a path or URI."""
    storage.put(out, page.html.encode())


def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("curation.report"),
        autoescape=lambda name: name is not None and name.endswith(".html"),
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _shown(value: Any) -> Any:
    """What a template shows for a value: of texts all that is unseen, no secrets, not too much."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    told = state.without_secrets(value)
    text, more = visible(told[:_LONGEST_TEXT]), len(told) - _LONGEST_TEXT
    return f"{text} … ({more:,} more characters)" if more > 0 else text
