"""Converts a checkpoint of BLAT (Xu et al. 2023) to a model directory."""

import re
from pathlib import Path

import torch

from curation.models.networks.dual_encoder import DualEncoder, DualEncoderConfig
from curation.models.networks.log_mel import mel_filter_bank
from training.convert.checkpoint import (
    check_mel_bands,
    fill_model,
    read_released_weights,
    rename_weight,
    save_model_folder,
)

_BLAT_NAMES = [
    (r"^audio\.cnn\.blocks\.(\d+)\.convs\.(\d+)", r"audio_encoder.conv_block<\1>.conv<\2>"),
    (r"^audio\.cnn\.blocks\.(\d+)\.norms\.(\d+)", r"audio_encoder.conv_block<\1>.bn<\2>"),
    (r"^audio\.cnn\.", "audio_encoder."),
    (r"^text\.", "text_encoder.model."),
    (r"_projection\.", "_proj."),
]


_BLAT_BANDS = "audio_encoder.melspec_extractor.mel_scale.fb"


_BLAT_UNUSED = re.compile(
    r"audio_encoder\.melspec_extractor\..*|text_encoder\.model\.pooler\..*"
    r"|text_encoder\.model\.embeddings\.(position|token_type)_ids"
)


def convert_blat(
    path: Path, out: Path, tokenizer: str | Path, config: DualEncoderConfig | None = None
) -> DualEncoder:
    """Write a checkpoint of BLAT (Zenodo 8192397, model.pth) as a directory of a dual encoder.

    Args:
        path: the checkpoint, whose tensors have the names of wsntxxn/BLAT.
        out: the directory to write.
        tokenizer: the directory, or hub id, of BLAT's tokenizer (prajjwal1/bert-medium).
        config: the sizes of the networks, if they differ from the released checkpoint's.

    Raises InputError naming a tensor that is missing, unknown or of another shape.
    """
    found = read_released_weights(path)
    model = DualEncoder(config or DualEncoderConfig())
    bands = mel_filter_bank(model.config.frontend, torch.device("cpu"))
    check_mel_bands(path, found, _BLAT_BANDS, bands)
    fill_model(model, found, _blat_name, _BLAT_UNUSED, path)
    save_model_folder(model.eval(), out, tokenizer, model.text.config.vocab_size)
    return model


def _blat_name(name: str) -> str:
    # Theirs counts from one.
    return re.sub(
        r"<(\d+)>", lambda match: str(int(match[1]) + 1), rename_weight(name, _BLAT_NAMES)
    )
