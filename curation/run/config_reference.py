"""Prints a reference of a run's YAML, built from the descriptions in its sections."""

import math
import textwrap
from collections.abc import Iterator
from typing import get_args

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from curation.config.run import RunConfig
from curation.section_keys import section_kind, section_models


def format_config_reference() -> str:
    """Format the whole YAML with the default values, and a comment for each key."""
    return "\n".join(_format_section(RunConfig, 0)) + "\n"


def _format_section(model: type[BaseModel], depth: int) -> Iterator[str]:
    indent = "  " * depth
    # What all kinds of a section have comes last.
    inherited = model.model_fields.keys() - model.__annotations__.keys()
    for name, field in sorted(model.model_fields.items(), key=lambda item: item[0] in inherited):
        for line in textwrap.wrap(field.description or "", 96 - len(indent)):
            yield f"{indent}# {line}"
        models = section_models(field)
        if not models:
            yield f"{indent}{name}: {_example(field)}"
            continue
        is_null = not field.is_required() and field.default is None
        yield f"{indent}{name}: null" if is_null else f"{indent}{name}:"
        for index, child in enumerate(models):
            lines = list(_format_section(child, depth + 1))
            if len(models) > 1:
                summary = (child.__doc__ or "").strip().splitlines()[0]
                yield f"{indent}  # {'or, ' if index else ''}{section_kind(child)}: {summary}"
            # Only one kind of a union can be in the file, and a section that is null by default
            # stands there as that; the others stay comments.
            given = index == 0 and not is_null
            yield from lines if given else [_commented(line) for line in lines]


def _commented(line: str) -> str:
    stripped = line.lstrip()
    return line if stripped.startswith("#") else line.replace(stripped, f"# {stripped}", 1)


def _example(field: FieldInfo) -> str:
    if field.is_required():
        literal = get_args(field.annotation)
        return str(literal[0]) if literal else "<required>"
    dumped = yaml.safe_dump(field.default, default_flow_style=True, width=math.inf)
    return dumped.removesuffix("...\n").strip()
