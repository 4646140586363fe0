"""Checks names and prose: public names are defined once, and banned words are not used.

Part of `make lint`. Exceptions and words are under `[tool.tagscribe.names]` in pyproject.toml. Of
identifiers only definitions are checked, because a library may name its functions as it likes. Of
prose, the documentation, docstrings and error messages are checked, without code and quotations.

    python -m tests.lint_names
"""

import ast
import re
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.paths import REPOSITORY

PACKAGES = ("curation", "training")
PAGES = ("README.md", "CONTRIBUTING.md", "docs/*.md")
CHECKED = (*PACKAGES, "benchmarks", "tests")

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_WITH_DOCSTRING = (*FUNCTIONS, ast.ClassDef, ast.Module)

# Code blocks, inline code, and quotations of up to a line or two.
_INDENTED_CODE = re.compile(r"^(?: {4}|\t).*$", re.MULTILINE)
_INLINE_CODE = re.compile(r"`+[^`]+`+")
_QUOTATION = re.compile(r'"(?:[^"\n]|\n(?!\n)){1,200}"')
# Keyword arguments that commands print: help of an option, description of a key.
_SHOWN_ARGUMENTS = ("help", "description")


class Definition(NamedTuple):
    """A name, where it is defined, and whether it names a function."""

    name: str
    place: str
    is_function: bool


def main() -> None:
    rules = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["tagscribe"]["names"]
    found = [
        *repeated_names(REPOSITORY, rules["contracts"]),
        *banned_words(REPOSITORY, set(rules["words"]), set(rules["functions"])),
        *banned_prose(REPOSITORY, rules["prose"]),
    ]
    for line in found:
        print(line)
    print(f"names: {len(found)} findings")
    sys.exit(1 if found else 0)


def repeated_names(root: Path, contracts: Sequence[str]) -> Iterator[str]:
    """A line for each public top-level function or class of the packages with two definitions.

    Args:
        root: the repository.
        contracts: names that several modules define because they fulfil one contract.
    """
    places: defaultdict[str, list[str]] = defaultdict(list)
    for path, tree in parsed(root, PACKAGES):
        for node in tree.body:
            if isinstance(node, (*FUNCTIONS, ast.ClassDef)) and not node.name.startswith("_"):
                places[node.name].append(f"{path}:{node.lineno}")
    for name, where in sorted(places.items()):
        if len(set(where)) > 1 and name not in contracts and not _is_overload(where):
            yield f"{where[0]}: {name} is defined again in {', '.join(where[1:])}"


def _is_overload(where: Sequence[str]) -> bool:
    """Whether all definitions are in one module, as those of `typing.overload` or `register`."""
    return len({place.rpartition(":")[0] for place in where}) == 1


def banned_words(root: Path, words: set[str], functions: set[str]) -> Iterator[str]:
    """A line for each identifier that has one of `words`, or is a function named by one.

    Args:
        root: the repository.
        words: words, or several with `_` between them, that no identifier has among its own.
        functions: names, without leading `_`, that no function has.
    """
    for path, tree in parsed(root, CHECKED):
        here = [Definition(path.stem, str(path), False), *definitions(tree, str(path))]
        for name, place, is_function in here:
            parts = [part.lower() for part in _WORD.findall(name)]
            joined = f"_{'_'.join(parts)}_"
            banned = sorted(word for word in words if f"_{word}_" in joined)
            if is_function and not banned and name.strip("_") in functions:
                banned = [name.strip("_")]
            if banned:
                yield f"{place}: {name} has the word {banned[0]!r}: see docs/architecture.md, Names"


def banned_prose(root: Path, words: Sequence[str]) -> Iterator[str]:
    """A line for each use of one of `words` in documentation, docstrings and error messages.

    Args:
        root: the repository.
        words: whole words, in any case.
    """
    pattern = re.compile(rf"\b(?:{'|'.join(words)})\b", re.IGNORECASE)
    for place, text in prose(root):
        for found in pattern.finditer(text):
            line = text.count("\n", 0, found.start())
            yield (
                f"{place.path}:{place.line + line}: the word {found[0]!r}: "
                "see docs/architecture.md, Names"
            )


class Place(NamedTuple):
    """A file, and the line at which a text begins in it."""

    path: Path
    line: int


def prose(root: Path) -> Iterator[tuple[Place, str]]:
    """Every text to check, with its line breaks; code and quotations are blanked out."""
    for pattern in PAGES:
        for page in sorted(root.glob(pattern)):
            text = _INDENTED_CODE.sub("", page.read_text())
            yield Place(page.relative_to(root), 1), _without_quotations(text)
    for path, tree in parsed(root, CHECKED):
        for node in ast.walk(tree):
            if isinstance(node, _WITH_DOCSTRING) and ast.get_docstring(node):
                docstring = node.body[0].value
                yield Place(path, docstring.lineno), _without_quotations(docstring.value)
            elif isinstance(node, (ast.Raise, ast.keyword)):
                if isinstance(node, ast.Raise) or node.arg in _SHOWN_ARGUMENTS:
                    for part in ast.walk(node):
                        if isinstance(part, ast.Constant) and isinstance(part.value, str):
                            yield Place(path, part.lineno), _without_quotations(part.value)


def _without_quotations(text: str) -> str:
    for pattern in (_INLINE_CODE, _QUOTATION):
        text = pattern.sub(lambda found: "\n" * found[0].count("\n"), text)
    return text


def definitions(tree: ast.AST, path: str) -> Iterator[Definition]:
    """Every name that a module defines: functions, classes, parameters, variables, attributes."""
    for node in ast.walk(tree):
        line = f"{path}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            yield Definition(node.name, line, not isinstance(node, ast.ClassDef))
        elif isinstance(node, ast.arg):
            yield Definition(node.arg, line, False)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield Definition(node.id, line, False)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield Definition(node.attr, line, False)
        elif isinstance(node, ast.alias) and node.asname:
            yield Definition(node.asname, f"{path}:{node.lineno}", False)


def parsed(root: Path, folders: Sequence[str]) -> Iterator[tuple[Path, Any]]:
    """The modules of some folders: path from the root, and syntax tree."""
    for folder in folders:
        for file in sorted((root / folder).rglob("*.py")):
            yield file.relative_to(root), ast.parse(file.read_text(), str(file))


if __name__ == "__main__":
    main()
