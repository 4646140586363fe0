"""Base class of the sections of YAML files, and the types of keys that contain paths."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, get_args

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Base class of all YAML sections: unknown keys are errors, and instances are immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True)
class PathType:
    """Marks a key whose value is a path or URI.

    With `or_name`, the value may also be a built-in name or a hub id.
    """

    or_name: bool = False


DataPath = Annotated[str, PathType()]
ModelPath = Annotated[str, PathType(or_name=True)]


def find_path_keys(section: BaseModel, prefix: str = "") -> Iterator[tuple[str, PathType]]:
    """Find all keys that contain paths, including those of nested sections.

    Yields the dotted name and the `PathType` of each key.
    """
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            yield from find_path_keys(value, f"{prefix}{name}.")
        elif marker := _path_type(field.metadata, field.annotation):
            yield f"{prefix}{name}", marker


def _path_type(metadata: list[Any], annotation: Any) -> PathType | None:
    """Of a field, whose annotation may be a union with None."""
    nested = [item for part in get_args(annotation) for item in getattr(part, "__metadata__", ())]
    return next((each for each in (*metadata, *nested) if isinstance(each, PathType)), None)
