"""Where a model's files are, what they hash to, and what its config.json says; without torch."""

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

from curation.errors import InputError
from curation.models.frontend_config import LogMelConfig
from curation.models.reference import reference_dir

ModelKind = Literal["captioner", "clap"]

_NEEDED = ("config.json", "model.safetensors", "tokenizer.json")
_EXPECTED = {
    "captioner": "a captioner as tagscribe-train writes it",
    "clap": "a dual encoder as tagscribe-train writes it, or of a CLAP as transformers does",
}
_WANTED = ("*.json", "*.safetensors", "*.txt", "*.model")


def locate(model: str, revision: str | None, kind: ModelKind) -> Path:
    """The local directory of "reference", of a directory, or of a hub id (fetched once).

    Raises InputError naming what was looked for, and which files a model's directory holds.
    """
    expected = f"'reference', a directory with {', '.join(_NEEDED)}"
    folder = (
        Path(reference_dir(kind)) if model == "reference" else folder_of(model, revision, expected)
    )
    missing = [name for name in _NEEDED if not (folder / name).is_file()]
    if "model.safetensors" in missing and (folder / "model.safetensors.index.json").is_file():
        raise InputError(
            f"{folder}: the weights are in several files; expected one, model.safetensors: load "
            "the model with transformers and save it with max_shard_size='100GB'"
        )
    if missing:
        raise InputError(
            f"{folder}: {', '.join(missing)} missing; expected the directory of {_EXPECTED[kind]}"
        )
    return folder


def folder_of(model: str, revision: str | None, expected: str) -> Path:
    """The local directory of a directory or of a hub id (fetched once).

    Raises InputError where there is neither, saying what was `expected` beside a hub id.
    """
    folder = Path(model)
    if folder.is_dir():
        return folder
    if model.startswith((".", "/", "~")) or model.count("/") != 1:
        raise InputError(
            f"{model}: no such directory; expected {expected}, or a hub id like 'owner/name'"
        )
    return _fetched(model, revision)


def weights_sha256(folder: Path) -> str:
    """The SHA-256 of a directory's weights."""
    with (folder / "model.safetensors").open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_config(folder: Path, *model_types: str) -> dict[str, Any]:
    """What a model's config.json says.

    Raises InputError where it is no such file, or that of another kind than those expected.
    """
    path = folder / "config.json"
    try:
        values: dict[str, Any] = json.loads(path.read_text())
        found = values.get("model_type")
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(f"{path}: not a model's configuration: {error}") from error
    if found not in model_types:
        expected = " or ".join(map(repr, model_types))
        raise InputError(f"{path}: model_type is {found!r}, expected {expected}")
    return values


def log_mel(config: dict[str, Any]) -> LogMelConfig:
    """The front end in the config.json of a model of ours."""
    return LogMelConfig(**(config.get("frontend") or {}))


def _fetched(model: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(model, revision=revision, allow_patterns=list(_WANTED)))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{model} (revision {revision or 'main'}): neither a directory nor a model that can "
            f"be fetched from the hub: {error}"
        ) from error
