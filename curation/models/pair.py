"""Opens any model that embeds sounds and captions: a dual encoder of ours, or a CLAP."""

from pathlib import Path

from transformers import PreTrainedTokenizerBase

from curation.models import files, weights
from curation.models.base import Pair
from curation.models.clap import load_clap
from curation.models.dual_encoder import DualEncoder, DualEncoderConfig

_CLAP = "clap"


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
    folder = files.locate(str(model), revision, "clap")
    if files.read_config(folder, DualEncoderConfig.model_type, _CLAP)["model_type"] == _CLAP:
        return load_clap(folder, device)
    return weights.load(folder, DualEncoder, device)
