"""Checks names: each public top-level name is defined once, and no identifier has a banned word.

Part of `make lint`. Exceptions and words stand under `[tool.tagscribe.names]` in pyproject.toml.
Only definitions count, not uses: what a library calls its own functions is its own affair.

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
CHECKED = (*PACKAGES, "benchmarks", "tests")

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)


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
            if isinstance(node, (*_FUNCTION, ast.ClassDef)) and not node.name.startswith("_"):
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


def definitions(tree: ast.AST, path: str) -> Iterator[Definition]:
    """Every name that a module defines: functions, classes, parameters, variables, attributes."""
    for node in ast.walk(tree):
        line = f"{path}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, (*_FUNCTION, ast.ClassDef)):
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
