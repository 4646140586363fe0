"""Finds the keys of a run's YAML by their path through the typed sections."""

from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from curation.config.run import RunConfig


def known_keys(path: list[str]) -> Iterator[str]:
    """The keys of a section, over all kinds that the section can have."""
    models: list[type[BaseModel]] = [RunConfig]
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
    """The value of a section's `kind:`; None for one that has no kinds."""
    kind = model.model_fields.get("kind")
    return get_args(kind.annotation)[0] if kind else None


def section_models(field: FieldInfo) -> list[type[BaseModel]]:
    """The sections allowed at a key; empty for a plain value."""

    def walk(annotation: Any) -> Iterator[type[BaseModel]]:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield annotation
        for argument in get_args(annotation):
            yield from walk(argument)

    return list(walk(field.annotation))
