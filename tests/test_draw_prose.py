"""The sample for proofreading holds public docstrings and sentences, and no code or tables."""

from pathlib import Path

from tests.draw_prose import list_docstrings, list_sentences


def test_docstrings_of_modules_and_public_names_are_listed(tmp_path: Path) -> None:
    (tmp_path / "curation").mkdir()
    (tmp_path / "curation" / "a.py").write_text(
        '"""A module."""\ndef f():\n    """A function."""\ndef _g():\n    """Private."""\n'
    )
    assert list_docstrings(tmp_path) == [
        ("curation/a.py", "A module."),
        ("curation/a.py f", "A function."),
    ]


def test_sentences_are_split_without_code_and_tables(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(
        "# Title\n\nFirst sentence, of\ntwo lines. Second one.\n\n    code. Not prose.\n\n"
        "- An item\n  goes on.\n- Another.\n\n| a | table. |\n"
    )
    texts = [sentence for _, sentence in list_sentences(tmp_path)]
    assert texts == ["First sentence, of two lines.", "Second one.", "An item goes on.", "Another."]
