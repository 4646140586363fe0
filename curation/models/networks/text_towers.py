"""Opens pre-trained text encoders of transformers or sentence-transformers as text towers."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModel,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.configuration_utils import PreTrainedConfig

from curation.errors import InputError
from curation.models import files, pretrained_weights
from curation.models.caption_tokenizer import CaptionTokenizer
from curation.models.networks.dual_encoder import DualEncoder, DualEncoderConfig, TextPooling
from curation.models.networks.pretrained_text import without_pooler

_POOLING: dict[str, TextPooling] = {"cls": "first", "mean": "mean"}

# These count positions from the one after their padding token's id.
_POSITIONS_AFTER_PADDING = {"camembert", "mpnet", "roberta", "xlm-roberta"}

# What a configuration says of the file it was read from, not of the model.
_OF_THE_FILE = {"architectures", "dtype", "transformers_version", "_name_or_path"}


@dataclass(frozen=True)
class TextTower:
    """A loaded pre-trained text encoder.

    Attributes:
        config: the value for `DualEncoderConfig.text`.
        model: the encoder in float32, without a pooler.
        pooling: the pooling that the encoder's authors used; "first" if they state none.
        max_tokens: maximum number of tokens of a text, special tokens included.
    """

    config: dict[str, Any]
    model: PreTrainedModel
    tokenizer: CaptionTokenizer
    pooling: TextPooling
    max_tokens: int


def open_text_tower(model: str | Path, revision: str | None = None) -> TextTower:
    """Open a directory or hub id (downloaded once) of transformers or sentence-transformers.

    A normalisation at the end of the encoder is omitted, because a linear layer follows.

    Raises InputError if the weights are not safetensors, if the model is not a text encoder, or if
    a sentence encoder uses another pooling than the first token or the mean.
    """
    folder = files.resolve_model_folder(str(model), revision, "the directory of a text encoder")
    if (folder / "modules.json").is_file():
        return _sentence_encoder(folder)
    try:
        text = AutoConfig.from_pretrained(folder)
        with pretrained_weights.hide_progress_bars():
            encoder = AutoModel.from_pretrained(
                folder, dtype=torch.float32, use_safetensors=True, **without_pooler(text)
            )
        tokenizer = AutoTokenizer.from_pretrained(folder)
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(
            f"{folder}: not a loadable text encoder; expected config.json, model.safetensors and a "
            f"tokenizer as transformers writes them: {error}"
        ) from error
    return _tower(folder, encoder, tokenizer, "first")


def build_dual_encoder(tower: TextTower, config: DualEncoderConfig) -> DualEncoder:
    """Build a dual encoder whose text tower starts from `tower`; all other weights are new.

    The text tower and its pooling are those of `tower`, whatever `config` says. The maximum length
    of text is the smaller one of `tower` and `config`.
    """
    adapted = replace(
        config,
        text=tower.config,
        text_pooling=tower.pooling,
        max_text_tokens=min(config.max_text_tokens, tower.max_tokens),
    )
    model = DualEncoder(adapted)
    model.text.load_state_dict(tower.model.state_dict())
    return model


def _sentence_encoder(folder: Path) -> TextTower:
    steps = _steps(folder)
    if steps not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        raise InputError(
            f"{folder}/modules.json: the steps are {', '.join(steps)}; expected Transformer, "
            "Pooling and at most Normalize: choose another sentence encoder"
        )
    # Two seconds of imports, which other towers do without.
    from sentence_transformers import SentenceTransformer

    try:
        with pretrained_weights.hide_progress_bars():
            opened = SentenceTransformer(
                str(folder), device="cpu", model_kwargs={"use_safetensors": True}
            )
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(f"{folder}: not a loadable sentence encoder: {error}") from error
    transformer, pooling = opened[0], opened[1]
    if pooling.pooling_mode not in _POOLING:
        raise InputError(
            f"{folder}: pools by {pooling.pooling_mode}; expected a sentence encoder that pools by "
            f"{' or '.join(_POOLING)}"
        )
    encoder = transformer.auto_model.float()
    if without_pooler(encoder.config):
        encoder.pooler = None
    return _tower(folder, encoder, transformer.tokenizer, _POOLING[pooling.pooling_mode])


def _tower(
    folder: Path,
    encoder: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    pooling: TextPooling,
) -> TextTower:
    config = encoder.config
    if config.is_encoder_decoder:
        raise InputError(
            f"{folder}: a {config.model_type} encodes and decodes; expected an encoder such as BERT"
        )
    try:
        captions = pretrained_weights.convert_tokenizer(tokenizer)
    except ValueError as error:
        raise InputError(f"{folder}: {error}") from error
    values = config.to_diff_dict()
    return TextTower(
        config={name: each for name, each in values.items() if name not in _OF_THE_FILE},
        model=encoder.eval(),
        tokenizer=captions,
        pooling=pooling,
        max_tokens=min(tokenizer.model_max_length, _positions(config)),
    )


def _positions(config: PreTrainedConfig) -> int:
    """How many tokens have a position of their own."""
    if config.model_type in _POSITIONS_AFTER_PADDING:
        return config.max_position_embeddings - config.pad_token_id - 1
    return config.max_position_embeddings


def _steps(folder: Path) -> list[str]:
    """The classes of a sentence encoder's steps, by the last part of their names."""
    try:
        modules = json.loads((folder / "modules.json").read_text())
        return [module["type"].rsplit(".", 1)[-1] for module in modules]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{folder}/modules.json: not a list of steps as sentence-transformers writes it: "
            f"{error!r}"
        ) from error
