"""Prints a random sample of docstrings and of sentences of the documentation, for proofreading.

A reader new to the project should understand each of them on the first reading.

    python -m tests.draw_prose [--seed 1] [--count 30]
"""

import argparse
import ast
import random
import re
from pathlib import Path

from tests.lint_names import FUNCTIONS, PACKAGES, PAGES, parsed
from tests.support.paths import REPOSITORY

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z`*\"])")
_LIST_ITEM = re.compile(r"^\s*(?:[-*]|\d+\.)\s+")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=30, help="docstrings, and sentences")
    options = parser.parse_args()
    for title, texts in (
        ("Docstrings", list_docstrings(REPOSITORY)),
        ("Sentences", list_sentences(REPOSITORY)),
    ):
        print(f"{title}: {options.count} of {len(texts)}\n")
        # A generator for each kind, so that a new docstring does not change the sentences.
        for place, text in random.Random(options.seed).sample(texts, options.count):
            print(f"{place}\n{text}\n")


def list_docstrings(root: Path) -> list[tuple[str, str]]:
    """Place and text of the docstrings of all modules and public functions and classes."""
    found = []
    for path, tree in parsed(root, PACKAGES):
        for node in ast.walk(tree):
            if isinstance(node, (ast.Module, ast.ClassDef, *FUNCTIONS)):
                name = getattr(node, "name", "")
                if (text := ast.get_docstring(node)) and not name.startswith("_"):
                    found.append((f"{path} {name}".strip(), text))
    return found


def list_sentences(root: Path) -> list[tuple[str, str]]:
    """Page and text of the sentences of the documentation, without code, tables and headings."""
    found = []
    for pattern in PAGES:
        for page in sorted(root.glob(pattern)):
            name = str(page.relative_to(root))
            for paragraph in _paragraphs(page.read_text()):
                found += [(name, sentence) for sentence in _SENTENCE_END.split(paragraph)]
    return found


def _paragraphs(text: str) -> list[str]:
    """Paragraphs and list items, each on one line."""
    paragraphs: list[str] = []
    open_paragraph = False
    for line in text.splitlines():
        item = _LIST_ITEM.match(line)
        code = line.startswith(("    ", "```")) and not item and not open_paragraph
        if not line.strip() or code or line.lstrip().startswith(("|", "#", "<", "![")):
            open_paragraph = False
        elif open_paragraph and not item:
            paragraphs[-1] += f" {line.strip()}"
        else:
            paragraphs.append(_LIST_ITEM.sub("", line).strip())
            open_paragraph = True
    return paragraphs


if __name__ == "__main__":
    main()
