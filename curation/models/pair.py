"""Opens any model that embeds sounds and captions: a dual encoder of ours, or a CLAP."""

from pathlib import Path

from transformers import PreTrainedTokenizerBase
from transformers.configuration_utils import PreTrainedConfig

from curation.errors import InputError
from curation.models import weights
from curation.models.base import Pair
from curation.models.clap import load_clap, read_extractor
from curation.models.dual_encoder import DualEncoder, DualEncoderConfig

_DUAL_ENCODER, _CLAP = "tagscribe-dual-encoder", "clap"


def load_pair(
    model: str | Path, device: str = "auto", revision: str | None = None
) -> tuple[Pair, PreTrainedTokenizerBase]:
    """A model, in float32 and evaluation mode, and its tokenizer.

    Args:
        model: "reference", a directory as `tagscribe-train` or transformers' CLAP writes it, or a
            hub id with a pinned `revision`.
        device: "auto" (a GPU where there is one), "cpu", "cuda:1", ...

    Raises InputError naming the directory and what it holds instead.
    """
    folder = weights.locate(str(model), revision, "clap")
    if _model_type(folder) == _CLAP:
        return load_clap(folder, device)
    return weights.load(folder, DualEncoder, device)


def sample_rate_hz(folder: Path) -> int:
    """The rate at which a model's directory wants its sounds; no weights are read."""
    if _model_type(folder) == _CLAP:
        return read_extractor(folder).sampling_rate
    return weights.load_config(folder, DualEncoderConfig).log_mel().sample_rate_hz


def _model_type(folder: Path) -> str:
    try:
        values, _ = PreTrainedConfig.get_config_dict(folder)
    except (OSError, ValueError) as error:
        raise InputError(f"{folder}/config.json: not a model's configuration: {error}") from error
    found = values.get("model_type")
    if found not in (_DUAL_ENCODER, _CLAP):
        raise InputError(
            f"{folder}/config.json: model_type is {found!r}, expected {_DUAL_ENCODER!r} or "
            f"{_CLAP!r}"
        )
    return found
