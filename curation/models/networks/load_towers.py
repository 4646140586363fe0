"""Opens models that embed audio and captions: a dual encoder of this package, or a CLAP."""

from pathlib import Path

from curation.errors import InputError
from curation.models import files, weights
from curation.models.caption_tokenizer import CaptionTokenizer
from curation.models.networks.dual_encoder import DualEncoder, DualEncoderConfig
from curation.models.networks.towers import Towers, TrainableTowers

_CLAP = "clap"


def load_trainable_towers(
    model: str | Path, device: str = "auto", revision: str | None = None
) -> tuple[TrainableTowers, CaptionTokenizer]:
    """Load a trainable model, in float32 and evaluation mode, and its tokenizer.

    Args:
        model: "reference", a directory written by `tagscribe-train` or by transformers' CLAP, or a
            hub id with a pinned `revision`.
        device: "auto" (a GPU if there is one), "cpu", "cuda:1", ...

    Raises InputError that names the directory and its content.
    """
    folder = files.locate_model(str(model), revision, "clap")
    towers, tokenizer = load_towers(folder, device)
    if not isinstance(towers, TrainableTowers):
        raise InputError(
            f"{folder}: a CLAP with fusion, which can score, but not be trained here; expected an "
            "unfused one, such as laion/clap-htsat-unfused"
        )
    return towers, tokenizer


def load_towers(folder: Path, device: str) -> tuple[Towers, CaptionTokenizer]:
    """Load a model for scoring, in float32 and evaluation mode, and its tokenizer.

    Raises InputError that names the directory and its content.
    """
    if files.read_model_config(folder, DualEncoderConfig.model_type, _CLAP)["model_type"] == _CLAP:
        from curation.models.networks.clap import load_clap  # brings transformers

        return load_clap(folder, device)
    return weights.load_network_and_tokenizer(folder, DualEncoder, device)
