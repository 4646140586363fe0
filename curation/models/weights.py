"""Where a model's files are, what they hash to, and on which device they run."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import torch
from huggingface_hub import snapshot_download
from transformers import PreTrainedModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast
from transformers.configuration_utils import PreTrainedConfig
from transformers.utils import logging

from curation.errors import InputError
from curation.models.reference import reference_dir

ModelKind = Literal["captioner", "clap"]

_NEEDED = ("config.json", "model.safetensors", "tokenizer.json")
# Constants that some versions of transformers keep in the file and others make anew.
_COMPUTED = ("position_ids", "token_type_ids", "relative_position_index")
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


def load(
    folder: Path, model_class: type[PreTrainedModel], device: str
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A model, in float32 and evaluation mode, and its tokenizer.

    Raises InputError where the directory holds another kind of model or weights that do not fit.
    """
    load_config(folder, model_class.config_class)
    try:
        with no_progress_bar():
            model, report = model_class.from_pretrained(
                folder, dtype=torch.float32, use_safetensors=True, output_loading_info=True
            )
        tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(f"{folder}: not a loadable {model_class.__name__}: {error}") from error
    wrong = sorted(
        name
        for name in {*report["missing_keys"], *report["unexpected_keys"]}
        if not name.endswith(_COMPUTED)
    )
    if wrong:
        raise InputError(
            f"{folder}: the weights are not those of a {model_class.__name__}: "
            f"{len(wrong)} names missing or unknown, among them {wrong[0]}"
        )
    return model.eval().to(pick_device(device)), tokenizer


def load_config(folder: Path, config_class: type[PreTrainedConfig]) -> PreTrainedConfig:
    """A model's configuration. Raises InputError where it is that of another kind of model."""
    values, _ = config_class.get_config_dict(folder)
    if values.get("model_type") != config_class.model_type:
        raise InputError(
            f"{folder}/config.json: model_type is {values.get('model_type')!r}, "
            f"expected {config_class.model_type!r}"
        )
    return config_class.from_dict(values)


def weights_sha256(folder: Path) -> str:
    """The SHA-256 of a directory's weights."""
    with (folder / "model.safetensors").open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def pick_device(device: str) -> torch.device:
    """The device of a name; "auto" is the GPU where there is one."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(device)


@contextmanager
def no_progress_bar() -> Iterator[None]:
    """Every worker loads its models; their bars would be drawn over the run's own."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _fetched(model: str, revision: str | None) -> Path:
    try:
        return Path(snapshot_download(model, revision=revision, allow_patterns=list(_WANTED)))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{model} (revision {revision or 'main'}): neither a directory nor a model that can "
            f"be fetched from the hub: {error}"
        ) from error
