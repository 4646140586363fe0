"""Whatever a stranger has written, in captions, tags, names or messages, is shown as text."""

import unicodedata
from pathlib import Path
from xml.etree.ElementTree import Element

from curation.run.layout import RunFolder
from curation.text_safety import escape_invisible
from tests.report.conftest import SECRET
from tests.report.hostile import HOSTILE, run_of
from tests.report.page_of import build_page, parsed, text


def structure(root: Element) -> list[tuple[str, tuple[str, ...]]]:
    """The elements of a page in their order, each with the names of its attributes."""
    return [(str(each.tag), tuple(sorted(map(str, each.attrib)))) for each in root.iter()]


def test_a_page_has_the_same_elements_whatever_is_said(hostile: str, tmp_path: Path) -> None:
    config = run_of(tmp_path, [f"a dog barks {n}" for n in range(len(HOSTILE) + 1)])
    assert structure(parsed(hostile)) == structure(
        parsed(build_page(RunFolder.from_config(config)).html)
    )


def test_what_was_said_can_be_read(hostile: str) -> None:
    shown = text(parsed(hostile))
    for said in HOSTILE[:10]:
        assert " ".join(escape_invisible(said).split()) in shown


def test_no_character_of_a_page_is_unseen(hostile: str) -> None:
    unseen = {
        each
        for each in hostile
        if unicodedata.category(each) in ("Cc", "Cf", "Cs", "Zl", "Zp") and each != "\n"
    }
    assert unseen == set()


def test_a_long_text_is_cut_and_says_so(hostile: str) -> None:
    assert "a" * 2001 not in hostile
    assert "(8,000 more characters)" in hostile


def test_no_secret_of_the_environment_is_shown(hostile: str) -> None:
    assert SECRET not in hostile and "me:word" not in hostile
    assert "&lt;MY_SECRET_KEY&gt;" in hostile
