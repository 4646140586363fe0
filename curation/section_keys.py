"""Finds the keys of a YAML by their path through its typed sections, and explains wrong keys."""

import difflib
from collections.abc import Iterator, Sequence
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo


def explain_problem(root: type[BaseModel], problem: Any, above: Sequence[str] = ()) -> str:
    """Explain a problem that pydantic found in one sentence; suggest a key for a misspelt one.

    Args:
        root: the section class of the whole YAML.
        problem: one of `ValidationError.errors()`.
        above: the path of the section that was validated, if it is not the root.
    """
    path = [*above, *(str(part) for part in problem["loc"])]
    key = ".".join(path)
    if problem["type"] != "extra_forbidden":
        return f"{key or 'the file'}: {problem['msg']}"
    siblings = list(known_keys(root, path[:-1]))
    matches = difflib.get_close_matches(path[-1], siblings, n=1)
    hint = f"did you mean '{matches[0]}'?" if matches else f"known here: {', '.join(siblings)}"
    return f"unknown key '{key}'; {hint}"


def known_keys(root: type[BaseModel], path: Sequence[str]) -> Iterator[str]:
    """Return the keys that a section at a path below the root can have, over all its kinds."""
    models: list[type[BaseModel]] = [root]
    for part in path:
        below = [
            model
            for parent in models
            if part in parent.model_fields
            for model in section_models(parent.model_fields[part])
        ]
        # Pydantic names the chosen kind of a union as one more step, which is no key.
        chosen = [m for m in models if section_kind(m) == part]
        models = below or chosen or models
    seen: dict[str, None] = {}
    for model in models:
        seen.update(dict.fromkeys(model.model_fields))
    return iter(seen)


def section_kind(model: type[BaseModel]) -> str | None:
    """Return the value of a section's `kind:`; None for a section without `kind:`."""
    kind = model.model_fields.get("kind")
    return get_args(kind.annotation)[0] if kind else None


def section_models(field: FieldInfo) -> list[type[BaseModel]]:
    """Return the section classes that a key accepts; empty for a key with a plain value."""

    def walk(annotation: Any) -> Iterator[type[BaseModel]]:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield annotation
        for argument in get_args(annotation):
            yield from walk(argument)

    return list(walk(field.annotation))
