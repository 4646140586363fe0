"""Locates a model's files, hashes weights, and reads config.json; works without torch."""

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

from curation.errors import InputError
from curation.models.networks.log_mel_config import LogMelConfig
from curation.models.reference import reference_model_dir

ModelKind = Literal["captioner", "clap"]

# Of our own networks. Under transformers' name any of its classes would open them, with random
# weights in place of those whose names it does not find.
NETWORK_WEIGHTS = "tagscribe.safetensors"
_WEIGHTS = "model.safetensors"
_ANY_WEIGHTS = f"{NETWORK_WEIGHTS} or {_WEIGHTS}"
_INDEX = "model.safetensors.index.json"
_PICKLED = "pytorch_model.bin"
_EXPECTED = {
    "captioner": "a captioner as tagscribe-train writes it",
    "clap": "a dual encoder as tagscribe-train writes it, or of a CLAP as transformers does",
}
_RATES = ("processor_config.json", "preprocessor_config.json")
_FETCHED_PATTERNS = ("*.json", "*.safetensors", "*.txt", "*.model", "*.jinja")
_CODE_PATTERNS = ("*.py",)


def locate_model(model: str, revision: str | None, kind: ModelKind) -> Path:
    """Return the local directory of "reference", of a directory, or of a hub id (downloaded once).

    Raises InputError that names the missing model and the expected files.
    """
    expected = f"'reference', a directory with config.json, {_ANY_WEIGHTS}, tokenizer.json"
    folder = (
        Path(reference_model_dir(kind))
        if model == "reference"
        else resolve_model_folder(model, revision, expected)
    )
    return _check_complete(folder, _EXPECTED[kind], "tokenizer.json")


def locate_pretrained_model(
    model: str, revision: str | None, kind: str, code: bool = False
) -> Path:
    """Return the local directory of a transformers model or of a hub id (downloaded once).

    The files of its tokenizer and front end are not checked, because they differ between models.
    Raises InputError that names the missing model.

    Args:
        code: also download the Python files of a hub id.
    """
    folder = resolve_model_folder(
        model, revision, f"a directory with config.json, {_WEIGHTS}", code
    )
    return _check_complete(folder, f"{kind} as transformers writes it")


def read_sample_rate_hz(folder: Path) -> int:
    """Read the sampling rate of a transformers model from the files of its processor.

    Raises InputError if these files state none.
    """
    for path in (folder / name for name in _RATES if (folder / name).is_file()):
        try:
            values = json.loads(path.read_text())
            rate = values.get("feature_extractor", values).get("sampling_rate")
        except (OSError, ValueError, AttributeError) as error:
            raise InputError(f"{path}: not a processor's configuration: {error}") from error
        if rate:
            return int(rate)
    raise InputError(
        f"{folder}: no sampling_rate in {' or '.join(_RATES)}; expected the directory of a model "
        "that takes audio, with the files of its processor"
    )


def _check_complete(folder: Path, expected: str, *others: str) -> Path:
    """A directory that holds configuration, weights and other files. Raises InputError."""
    needed = [
        folder / "config.json",
        *list_weight_files(folder),
        *(folder / name for name in others),
    ]
    missing = [path.name for path in needed if not path.is_file()]
    # Only directories of transformers' classes need nothing else.
    names = [_ANY_WEIGHTS if others and name == _WEIGHTS else name for name in missing]
    if _WEIGHTS in missing and any(folder.glob(f"{_PICKLED}*")):
        raise InputError(
            f"{folder}: the weights are pickled ({_PICKLED}), and no pickle is opened here; "
            f"expected {_WEIGHTS}: take a revision that has it, or load the model with "
            "transformers where you trust it and save it with save_pretrained"
        )
    if missing:
        raise InputError(
            f"{folder}: {', '.join(names)} missing; expected the directory of {expected}"
        )
    return folder


def resolve_model_folder(
    model: str, revision: str | None, expected: str, code: bool = False
) -> Path:
    """Return the local directory of a directory name or of a hub id (downloaded once).

    If `code` is set, Python files are downloaded too. Raises InputError if there is neither such a
    directory nor such a hub id. The message says that a hub id or `expected` is needed.
    """
    folder = Path(model)
    if folder.is_dir():
        return folder
    if model.startswith((".", "/", "~")) or model.count("/") != 1:
        raise InputError(
            f"{model}: no such directory; expected {expected}, or a hub id like 'owner/name'"
        )
    return _fetch_from_hub(
        model, revision, _FETCHED_PATTERNS + _CODE_PATTERNS if code else _FETCHED_PATTERNS
    )


def list_weight_files(folder: Path) -> list[Path]:
    """List the paths of a directory's weight files, sorted by name.

    These are the weights of a network of this package, else model.safetensors, else all files that
    its index lists. The files need not exist. Raises InputError if the index lists a file that is
    not safetensors or is not beside the index.
    """
    if (folder / NETWORK_WEIGHTS).is_file():
        return [folder / NETWORK_WEIGHTS]
    index = folder / _INDEX
    if (folder / _WEIGHTS).is_file() or not index.is_file():
        return [folder / _WEIGHTS]
    try:
        names = sorted(set(json.loads(index.read_text())["weight_map"].values()))
        beside = all(Path(name).name == name and name.endswith(".safetensors") for name in names)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{index}: not an index of weights: {error!r}") from error
    if not names or not beside:
        raise InputError(
            f"{index}: weight_map names {', '.join(names) or 'no files'}; expected the "
            "safetensors files beside it"
        )
    return [folder / name for name in names]


def hash_weights(folder: Path) -> str:
    """Compute the SHA-256 of all weight files of a directory, in the order of their names."""
    digest = hashlib.sha256()
    for path in list_weight_files(folder):
        with path.open("rb") as file:
            hashlib.file_digest(file, lambda: digest)
    return digest.hexdigest()


def read_model_config(folder: Path, *model_types: str) -> dict[str, Any]:
    """Read a model's config.json.

    Raises InputError if the file is missing or invalid, or describes an unexpected kind of model.
    """
    path = folder / "config.json"
    try:
        values: dict[str, Any] = json.loads(path.read_text())
        found = values.get("model_type")
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(f"{path}: not a model's configuration: {error}") from error
    if model_types and found not in model_types:
        expected = " or ".join(map(repr, model_types))
        raise InputError(f"{path}: model_type is {found!r}, expected {expected}")
    return values


def log_mel_config(config: dict[str, Any]) -> LogMelConfig:
    """Return the front end's settings in the config.json of a model of this package."""
    return LogMelConfig(**(config.get("frontend") or {}))


def _fetch_from_hub(model: str, revision: str | None, wanted: tuple[str, ...]) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(model, revision=revision, allow_patterns=list(wanted)))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{model} (revision {revision or 'main'}): neither a directory nor a model that can "
            f"be fetched from the hub: {error}"
        ) from error
