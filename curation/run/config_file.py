"""Reads and parses the YAML file of a run, and explains its errors.

`curation.config` defines the sections.
"""

from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from curation.config.models import CaptionerConfig, ScorerConfig, TaggerConfig
from curation.config.run import RunConfig
from curation.errors import InputError
from curation.section_keys import explain_problem
from curation.storage.files import Storage

# Path and type of each model's section.
_MODEL_SECTIONS: dict[str, tuple[tuple[str, ...], Any]] = {
    "captioner": (("captioner",), CaptionerConfig),
    "scorer": (("scorer",), ScorerConfig),
    "tagger": (("tags", "tagger"), TaggerConfig),
}


def read_run_config(uri: str, storage: Storage | None = None) -> RunConfig:
    """Read a run's YAML. Raises InputError that names the file, the key and what was expected.

    By default, the storage settings for reading the YAML itself come from the environment.
    """
    try:
        text = (storage or Storage()).read_bytes(uri).decode()
    except (FileNotFoundError, IsADirectoryError) as error:
        raise InputError(f"{uri}: no such file; expected the YAML of a run") from error
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"{uri}: not YAML: {error}") from error
    if not isinstance(data, dict):
        raise InputError(
            f"{uri}: expected keys such as run: and catalog:; see tagscribe config --show"
        )
    return parse_run_config(data, uri)


def parse_run_config(data: dict[str, Any], origin: str) -> RunConfig:
    """Parse a run's configuration from a mapping.

    Raises InputError that names `origin`, the key and what was expected.
    """
    try:
        return RunConfig.model_validate(data)
    except ValidationError as error:
        lines = [explain_problem(RunConfig, problem) for problem in error.errors()]
        raise InputError(f"{origin}: " + "; ".join(lines)) from error


def parse_model_section(part: str, text: str) -> Any:
    """Parse the YAML section of one model: captioner, scorer or tagger. Raises InputError."""
    path, kind = _MODEL_SECTIONS[part]
    try:
        return TypeAdapter(kind).validate_python(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise InputError(f"{part}: not YAML: {error}") from error
    except ValidationError as error:
        lines = [explain_problem(RunConfig, problem, path) for problem in error.errors()]
        raise InputError("; ".join(lines)) from error
