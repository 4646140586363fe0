"""Whatever a stranger has written, in captions, tags, names or messages, is shown as text."""

import unicodedata
from collections.abc import Callable
from pathlib import Path
from xml.etree.ElementTree import Element

import pytest

from curation.config import RunConfig
from curation.select import apply
from curation.visible import visible
from tests.chromium import chromium, opened
from tests.report.page_of import made, parsed, text
from tests.report.runs import candidate, failed, heard, noise, row, tag, written_run

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
PLAIN = "a dog barks"


def run_of(folder: Path, say: Callable[[int], str]) -> RunConfig:
    """A run in which every text of a stranger is `say` of a number."""
    sound = folder / "noise.wav"
    folder.mkdir()
    noise(sound)
    mids = {"tags": [tag(say(n) + str(n), say(n + 1)) for n in range(3)]}
    served = [
        heard(
            f"{say(n)}{n}",
            sound,
            guidance=[say(n)],
            candidates=[candidate(say(n + 1), 0.5 + n / 100), candidate(say(n + 2), 0.3)],
            **mids,
        )
        for n in range(4)
    ]
    gone = row(f"{say(4)}4", uri=say(5), **mids)
    errors = [failed(f"{say(n)}{n}", "decode", f"{say(n)}{n}", say(n + 1)) for n in (5, 6)]
    catalog = {"kind": "folder", "audio": say(0).replace("\x00", "")}
    config = written_run(folder / "run", [[*served, gone, *errors]], catalog=catalog)
    apply.select(config)
    return config


def structure(root: Element) -> list[tuple[str, tuple[str, ...]]]:
    """The elements of a page in their order, each with the names of its attributes."""
    return [(str(each.tag), tuple(sorted(map(str, each.attrib)))) for each in root.iter()]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Element:
    config = run_of(tmp_path_factory.mktemp("plain") / "x", lambda n: PLAIN)
    return parsed(made(config.run).html)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> str:
    config = run_of(tmp_path_factory.mktemp("hostile") / "x", lambda n: HOSTILE[n % len(HOSTILE)])
    return made(config.run).html


@pytest.mark.parametrize("said", HOSTILE[:3] + HOSTILE[6:8])
def test_a_page_has_the_same_elements_whatever_is_said(
    plain: Element, tmp_path: Path, said: str
) -> None:
    config = run_of(tmp_path / "x", lambda n: said)
    root = parsed(made(config.run).html)
    assert structure(root) == structure(plain)


def test_what_was_said_can_be_read(hostile: str) -> None:
    told = text(parsed(hostile))
    for said in HOSTILE[:7]:
        assert " ".join(visible(said).split()) in told


def test_no_character_of_a_page_is_unseen(hostile: str) -> None:
    unseen = {
        each
        for each in hostile
        if unicodedata.category(each) in ("Cc", "Cf", "Cs", "Zl", "Zp") and each != "\n"
    }
    assert unseen == set()


def test_a_long_text_is_cut_and_says_so(hostile: str, tmp_path: Path) -> None:
    assert "a" * 2001 not in hostile
    config = run_of(tmp_path / "x", lambda n: "b" * 10_000)
    assert "(8,000 more characters)" in made(config.run).html


def test_no_secret_of_the_environment_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_SECRET_KEY", "must-not-be-shown")
    config = run_of(tmp_path / "x", lambda n: "see must-not-be-shown and s3://me:word@host/x")
    html = made(config.run).html
    assert "must-not-be-shown" not in html and "me:word" not in html
    assert "&lt;MY_SECRET_KEY&gt;" in html


def test_a_browser_shows_it_and_does_nothing_else(hostile: str, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(hostile)
    dialogs = []
    with chromium() as browser, opened(browser, path.as_uri()) as (page, seen):
        page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
        page.wait_for_load_state("networkidle")
        assert page.locator("script").count() == 1
        assert (seen.complaints, seen.hosts, dialogs) == ([], {"file"}, [])
