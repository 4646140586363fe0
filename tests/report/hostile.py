"""Runs in which every text of a stranger is of one's choice."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from curation.config.run import RunConfig
from curation.select import apply
from tests.report.runs import candidate, failed, noise, row, served, tag, written_run

HOSTILE = (
    "<script>fetch('http://evil.example')</script>",
    "</title></style></script></pre><img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)" x=\'',
    "--><!-- {{ 7*7 }} {% raw %} ${7*7} $x^2$ &lt;b&gt; &amp;",
    "]]></svg><svg onload=alert(1)>",
    "javascript:alert(1)",
    "dog\u202egpj.exe\u2066\u2069\u200f",
    "line\nbreak\ttab\x00nul\x1b[31mred\x7f\u2028",
    "\ud800\udcff".encode("utf-8", "replace").decode(),
    "كلب ينبح \u200f!",
    "a" * 10_000,
)


def run_of(folder: Path, said: Sequence[str]) -> RunConfig:
    """A run in which each of some texts stands wherever a stranger may write."""
    folder.mkdir(exist_ok=True)
    sound = folder / "noise.wav"
    noise(sound)
    rows = [each for number, text in enumerate(said) for each in _rows(number, text, sound)]
    catalog = {"kind": "folder", "audio": "".join(said).replace("\x00", "")}
    config = written_run(folder / "run", [rows], catalog=catalog)
    apply.select_pairs(config)
    return config


def _rows(number: int, said: str, sound: Path) -> list[dict[str, Any]]:
    """A clip with sound, one whose audio is missing, and an error; all their text is `said`."""
    named = f"{said}{number}"
    tags = [tag(f"{named}{place}", said) for place in range(3)]
    captions = [candidate(said, 0.5 + number / 100), candidate(f"{said}.", 0.3)]
    texts = {"guidance": [said], "candidates": captions, "tags": tags}
    return [
        served(f"{named}0", sound, **texts),
        row(f"{named}1", uri=f"/{said}", **texts),
        failed(f"{named}2", "decode", named, said),
    ]
