"""Renders the report page. All text from the run is escaped, and the page's size is limited."""

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from curation.redact import secret_redactor
from curation.report import examples, page_context
from curation.report.examples import Example
from curation.report.media import ClipMedia
from curation.report.report_data import ReportData, collect_report_data
from curation.run.layout import RunFolder
from curation.storage.files import Storage
from curation.text_safety import escape_invisible

MAX_BYTES = 15_000_000
# Longer texts are cut: a page is to be read.
_MAX_TEXT = 2000
# What the clips' headings and counts may add to a page that was measured without clips.
_SLACK_BYTES = 2048
_OMITTED = ClipMedia(missing_reason="omitted, to keep the page small")


@dataclass(frozen=True)
class Report:
    """The rendered page, and the number of example clips on it, with and without sound."""

    html: str
    sampled: int
    shown: int
    audible: int


def build_report(run: RunFolder, clips: int, on_shard: Callable[[int, int], None]) -> Report:
    """Build the report of a run.

    Args:
        clips: number of example clips.
        on_shard: called with the number of shards read and the number of all shards.

    Raises InputError if there is no run, no evidence, or decisions that do not fit the evidence.
    """
    return ReportPage(collect_report_data(run, clips, on_shard)).render()


class ReportPage:
    """A report page without example clips; `render` adds as many examples as fit."""

    def __init__(self, data: ReportData) -> None:
        templates = _environment()
        self._page, self._clip = (templates.get_template(f"{n}.html") for n in ("page", "clip"))
        script = templates.get_template("page.js").render()
        digest = hashlib.sha256(script.encode()).digest()
        self._context = page_context.page_context(data) | {
            "script": Markup(script),
            "script_sha256": base64.b64encode(digest).decode(),
        }
        run = RunFolder.from_config(data.config)
        self._storage = run.storage
        self._examples = examples.read_examples(run, data.sampled, data.scores)
        self._columns = examples.candidate_columns(self._examples, data.lineage.get("policy", {}))

    def render(self, most_bytes: int = MAX_BYTES) -> Report:
        """Render the page with as many examples as `most_bytes` allows.

        Sounds are omitted before examples are.
        """
        groups: dict[str, list[Markup]] = {example.stratum: [] for example in self._examples}
        left = most_bytes - len(self._html(groups, 0).encode()) - _SLACK_BYTES
        media = examples.load_example_media(self._storage, self._examples)
        full, shown, audible = False, 0, 0
        for example in self._examples:
            sound = _OMITTED if full else next(media)
            block = self._block(example, sound)
            if len(block.encode()) > left and sound.sound:
                full, sound = True, _OMITTED
                block = self._block(example, sound)
            if len(block.encode()) > left:
                continue
            left -= len(block.encode())
            groups[example.stratum].append(block)
            shown += 1
            audible += bool(sound.sound)
        return Report(self._html(groups, shown), len(self._examples), shown, audible)

    def _block(self, example: Example, media: ClipMedia) -> Markup:
        fields = {"row": example.row, "tags": example.tags, "candidates": example.candidates}
        return Markup(self._clip.render(**fields, columns=self._columns, media=media))

    def _html(self, groups: dict[str, list[Markup]], shown: int) -> str:
        """The page with the clips of each group; with all headings where it has no clips yet."""
        cut = ""
        if shown < len(self._examples):
            cut = f"{len(self._examples) - shown} more were drawn and omitted, to keep it small."
        filled = {name: clips for name, clips in groups.items() if clips or not shown}
        return self._page.render(
            **self._context, groups=filled, columns=self._columns, shown=shown, cut=cut
        )


def write_report(storage: Storage, out: str, page: Report) -> None:
    """Write a rendered page to a path or URI."""
    storage.put(out, page.html.encode())


def _environment() -> Environment:
    hide = secret_redactor()
    return Environment(
        loader=PackageLoader("curation.report"),
        autoescape=lambda name: name is not None and name.endswith(".html"),
        finalize=lambda value: _finalize(value, hide),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _finalize(value: Any, hide: Callable[[str], str]) -> Any:
    """What a template shows for a value: of texts all that is unseen, no secrets, not too much."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    redacted = hide(value)
    text, more = escape_invisible(redacted[:_MAX_TEXT]), len(redacted) - _MAX_TEXT
    return f"{text} … ({more:,} more characters)" if more > 0 else text
