"""Reads the YAML file of a training. The other modules of this package define its sections."""

from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from curation.errors import InputError
from curation.section import Section
from curation.section_keys import explain_problem
from curation.storage.files import Storage

Training = TypeVar("Training", bound=Section)


def load_training_config(uri: str | None, kind: type[Training]) -> Training:
    """Read the YAML of a training. Without a file, return the settings of the reference model.

    Raises InputError naming the file and each key that is unknown or out of range.
    """
    return kind() if uri is None else validate_training_config(uri, read_training_yaml(uri), kind)


def read_training_yaml(uri: str) -> dict[str, Any]:
    """Read a YAML file as a mapping. Raises InputError if the file is missing or has no keys."""
    try:
        values: Any = yaml.safe_load(Storage().read_bytes(uri))
    except (FileNotFoundError, IsADirectoryError) as error:
        raise InputError(f"{uri}: no such file; expected the YAML of a training") from error
    except yaml.YAMLError as error:
        raise InputError(f"{uri}: not YAML: {error}") from error
    if not isinstance(values or {}, dict):
        raise InputError(f"{uri}: expected keys and values, found {type(values).__name__}")
    return values or {}


def validate_training_config(uri: str, values: dict[str, Any], kind: type[Training]) -> Training:
    """Validate the keys of a YAML.

    Raises InputError naming the file and each key that is unknown or out of range.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        problems = [explain_problem(kind, problem) for problem in error.errors()]
        raise InputError(f"{uri}: {'; '.join(problems)}") from error
