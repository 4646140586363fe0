"""Whatever a stranger's text holds is seen, and stays in its place."""

import os
import sys

import pytest

from curation.text_safety import escape_invisible


@pytest.mark.parametrize(
    "text", ["a dog barks", "<b>&amp;</b> \"'", "犬が吠える", "Hund bellt größer", "كلب ينبح", "🐕"]
)
def test_what_can_be_seen_stays_as_it_is(text: str) -> None:
    assert escape_invisible(text) == text


@pytest.mark.parametrize(
    "character", ["\0", "\n", "\t", "\x1b", "\x7f", "\x85", "\u2028", "\u2029"]
)
def test_control_characters_are_shown_by_their_code(character: str) -> None:
    assert escape_invisible(f"a{character}b") == f"a⟨U+{ord(character):04X}⟩b"


@pytest.mark.parametrize(
    "character", [*"\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"]
)
def test_marks_that_turn_the_text_around_are_shown(character: str) -> None:
    assert escape_invisible(f"dog{character}gpj.exe") == f"dog⟨U+{ord(character):04X}⟩gpj.exe"


@pytest.mark.parametrize("character", [*"\u200b\u200d\ufeff\u00ad\u3164\U000e0041\ue000"])
def test_what_is_drawn_as_nothing_is_shown(character: str) -> None:
    assert escape_invisible(character) == f"⟨U+{ord(character):04X}⟩"


def test_a_file_name_that_is_no_text_can_be_written() -> None:
    assert escape_invisible(os.fsdecode(b"\xff.wav")).encode() == "⟨U+DCFF⟩.wav".encode()


def test_every_character_becomes_one_line_that_can_be_encoded() -> None:
    shown = escape_invisible("".join(map(chr, range(sys.maxunicode + 1))))
    assert shown.encode().decode() == shown
    assert len(shown.splitlines()) == 1
