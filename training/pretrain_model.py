"""Builds the model that a pre-training's configuration describes, and opens it again.

The initial state (sizes, tokenizer, weights) is stored in the run's `start/`, so every process,
restart and validation opens the same model.
"""

import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import torch

from curation.errors import InputError
from curation.models.caption_tokenizer import CaptionTokenizer
from curation.models.networks.cnn14 import Cnn14Config
from curation.models.networks.dual_encoder import DualEncoder, DualEncoderConfig
from curation.models.networks.load_towers import load_trainable_towers
from curation.models.networks.towers import TrainableTowers
from curation.models.word_tokenizer import build_word_tokenizer
from curation.storage.files import Storage
from curation.uris import is_local_uri, join_uri
from training.config.networks import (
    ClapModelConfig,
    DualEncoderModelConfig,
    PretrainedModelConfig,
    PretrainedTextConfig,
    WordTextConfig,
)
from training.config.pretrain import PretrainConfig

ModelAndTokenizer = tuple[TrainableTowers, CaptionTokenizer]


def build_pretrain_model(
    config: PretrainConfig, captions: Callable[[], Iterable[str]]
) -> ModelAndTokenizer:
    """Build the model to train. Its weights are new, or those of the configured model.

    Args:
        captions: all training captions, for building a vocabulary.
    """
    torch.manual_seed(config.seed)
    return _built(config.model, captions)


def _built(
    model: DualEncoderModelConfig | ClapModelConfig | PretrainedModelConfig,
    captions: Callable[[], Iterable[str]],
) -> ModelAndTokenizer:
    if isinstance(model, PretrainedModelConfig):
        return load_trainable_towers(model.model, "cpu", model.revision)
    # These two bring transformers.
    if isinstance(model, ClapModelConfig):
        from curation.models.networks.clap import build_clap

        tokenizer = _tokenizer(model)
        return (
            build_clap(model.audio, model.text, tokenizer, model.frontend, model.embed_dim),
            tokenizer,
        )
    if isinstance(model.text, PretrainedTextConfig):
        from curation.models.networks.text_towers import build_dual_encoder, open_text_tower

        tower = open_text_tower(model.text.model, model.text.revision)
        return build_dual_encoder(tower, _dual_encoder_config(model)), tower.tokenizer
    tokenizer = build_word_tokenizer(captions(), model.text.max_tokens)
    config_of_words = _dual_encoder_config(model, _words_bert(model.text, len(tokenizer)))
    config_of_words.max_text_tokens = model.text.max_tokens
    # Untrained, a first token says nothing of the others; the mean learns much sooner.
    config_of_words.text_pooling = "mean"
    return DualEncoder(config_of_words), tokenizer


def has_frozen_text(config: PretrainConfig) -> bool:
    model = config.model
    return (
        isinstance(model, DualEncoderModelConfig)
        and isinstance(model.text, PretrainedTextConfig)
        and model.text.frozen
    )


def save_pretrain_model(
    storage: Storage, pair: TrainableTowers, tokenizer: CaptionTokenizer, folder: str
) -> None:
    """Write a model's directory, local or on S3. config.json is written last and completes it."""
    with tempfile.TemporaryDirectory() as local:
        pair.save_pretrained(local)
        tokenizer.save(Path(local))
        files = sorted(Path(local).iterdir(), key=lambda path: path.name == "config.json")
        for path in files:
            storage.put(join_uri(folder, path.name), path.read_bytes())


def open_pretrain_model(storage: Storage, folder: str, device: str = "cpu") -> ModelAndTokenizer:
    """Open a model's directory, local or on S3. Raises InputError if there is none."""
    if is_local_uri(folder):
        return load_trainable_towers(folder, device)
    with tempfile.TemporaryDirectory() as local:
        for file in storage.list_files(folder):
            name = file.uri.rsplit("/", 1)[-1]
            (Path(local) / name).write_bytes(storage.read_bytes(file.uri))
        return load_trainable_towers(local, device)


def _tokenizer(model: ClapModelConfig) -> CaptionTokenizer:
    from transformers import AutoTokenizer

    from curation.models.pretrained_weights import convert_tokenizer

    try:
        return convert_tokenizer(
            AutoTokenizer.from_pretrained(model.tokenizer, revision=model.tokenizer_revision)
        )
    except (OSError, ValueError) as error:
        raise InputError(
            f"model.tokenizer: {model.tokenizer}: no tokenizer opens there ({error}); expected a "
            "directory with tokenizer.json, or a hub id"
        ) from error


def _dual_encoder_config(
    model: DualEncoderModelConfig, text: dict[str, object] | None = None
) -> DualEncoderConfig:
    return DualEncoderConfig(
        frontend=model.frontend.log_mel(),
        cnn=Cnn14Config(**model.cnn.model_dump(), mels=model.frontend.mels),
        audio_layers=model.audio_layers,
        audio_dim=model.audio_dim,
        audio_heads=model.audio_heads,
        embed_dim=model.embed_dim,
        text=text,
    )


def _words_bert(text: WordTextConfig, words: int) -> dict[str, object]:
    return {
        "model_type": "bert",
        "vocab_size": words,
        "hidden_size": text.dim,
        "num_hidden_layers": text.layers,
        "num_attention_heads": text.heads,
        "intermediate_size": text.feed_forward,
        "max_position_embeddings": text.max_tokens,
        "hidden_dropout_prob": text.dropout,
        "attention_probs_dropout_prob": text.dropout,
    }
