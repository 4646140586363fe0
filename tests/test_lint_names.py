"""The check of names and prose finds each kind of violation, and nothing in a tree without one."""

from pathlib import Path

import pytest

from tests.lint_names import banned_prose, banned_words, repeated_names


def write(root: Path, **modules: str) -> None:
    for name, text in modules.items():
        path = root / (name.replace("__", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_a_name_defined_twice_is_found(tmp_path: Path) -> None:
    write(tmp_path, curation__a="def read(): ...", training__b="class read: ...")
    [line] = repeated_names(tmp_path, [])
    assert "curation/a.py:1" in line and "training/b.py:1" in line


@pytest.mark.parametrize(
    "other", ["def _read(): ...", "class Reader:\n    def read(self): ...", "read = 1"]
)
def test_private_names_methods_and_values_may_repeat(tmp_path: Path, other: str) -> None:
    write(tmp_path, curation__a="def read(): ...", curation__b=other)
    assert not list(repeated_names(tmp_path, []))


def test_names_of_a_contract_may_repeat(tmp_path: Path) -> None:
    write(tmp_path, curation__a="def main(): ...", training__b="def main(): ...")
    assert not list(repeated_names(tmp_path, ["main"]))


@pytest.mark.parametrize(
    "code",
    [
        "def what_was_told(): ...",
        "class ToldOnce: ...",
        "def show(told): ...",
        "told = 1",
        "self.told_s = 1",
        "for told in (): ...",
        "import os as told",
    ],
)
def test_a_banned_word_is_found_wherever_a_name_is_defined(tmp_path: Path, code: str) -> None:
    write(tmp_path, curation__a=code)
    [line] = banned_words(tmp_path, {"told"}, set())
    assert line.startswith("curation/a.py:1: ") and "'told'" in line


def test_a_module_is_named_too(tmp_path: Path) -> None:
    write(tmp_path, tests__told="")
    assert len(list(banned_words(tmp_path, {"told"}, set()))) == 1


def test_uses_and_parts_of_words_are_not_found(tmp_path: Path) -> None:
    write(tmp_path, curation__a="print(library.told)\nuntold = 1\n'told'")
    assert not list(banned_words(tmp_path, {"told"}, set()))


def test_several_words_are_found_in_their_order_only(tmp_path: Path) -> None:
    write(tmp_path, curation__a="def rows_left_out(): ...", curation__b="out_left = 1")
    assert len(list(banned_words(tmp_path, {"left_out"}, set()))) == 1


def test_some_words_are_banned_as_functions_only(tmp_path: Path) -> None:
    write(tmp_path, curation__a="kept = 1\nkept_rows = 2", curation__b="def _kept(): ...")
    [line] = banned_words(tmp_path, set(), {"kept"})
    assert line.startswith("curation/b.py:1: ")


@pytest.mark.parametrize(
    "code",
    [
        '"""What was told."""',
        'def a():\n    """Told by a\n    caller."""',
        'class A:\n    """Told."""',
        'raise ValueError(f"{1}: not told")',
        'Field(description="What it is told.")',
    ],
)
def test_a_banned_word_is_found_in_docstrings_and_messages(tmp_path: Path, code: str) -> None:
    write(tmp_path, curation__a=code)
    assert len(list(banned_prose(tmp_path, ["told"]))) == 1


def test_a_banned_word_is_found_in_documentation_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "page.md").write_text("# A page\n\n    told\n\nWhoever reads `x`\n")
    [line] = banned_prose(tmp_path, ["told", "whoever"])
    assert line.startswith("docs/page.md:5: ") and "'Whoever'" in line


@pytest.mark.parametrize(
    "code",
    [
        '"""The table `told` and "a bell is told"."""',
        '"""Untold numbers."""',
        "told = 1",
        "# told",
        'x = "told"',
    ],
)
def test_code_quotations_comments_and_data_are_not_prose(tmp_path: Path, code: str) -> None:
    write(tmp_path, curation__a=code)
    assert not list(banned_prose(tmp_path, ["told"]))
