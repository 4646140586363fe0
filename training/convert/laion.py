"""Converts a checkpoint of LAION's CLAP without fusion to a model directory."""

import re
from pathlib import Path

import torch
from torch import Tensor
from transformers import ClapConfig, ClapModel

from curation.errors import InputError
from curation.models.networks.clap import TrainableClap
from curation.models.networks.clap_frontend import build_laion_extractor
from training.convert.checkpoint import (
    check_mel_bands,
    fill_model,
    read_released_weights,
    rename_weight,
    save_model_folder,
)

_LAION_NAMES = [
    (r"_projection\.linear1\.", "_projection.0."),
    (r"_projection\.linear2\.", "_projection.2."),
    (r"^text_model\.", "text_branch."),
]


_LAION_AUDIO_NAMES = [
    (r"^audio_model\.audio_encoder\.", "audio_branch."),
    (r"\.batch_norm\.", ".bn0."),
    (r"\.layernorm_before\.", ".norm1."),
    (r"\.layernorm_after\.", ".norm2."),
    (r"\.attention\.self\.(query|key|value)\.", ".attn.qkv."),
    (r"\.attention\.self\.", ".attn."),
    (r"\.attention\.output\.dense\.", ".attn.proj."),
    (r"\.intermediate\.dense\.", ".mlp.fc1."),
    (r"\.output\.dense\.", ".mlp.fc2."),
]


_LAION_BANDS = "audio_branch.logmel_extractor.melW"


# The heads of HTSAT's own classes, two networks of an abandoned loss, and constants.
_LAION_UNUSED = re.compile(
    r"audio_branch\.(spectrogram_extractor|logmel_extractor|tscam_conv|head)\..*"
    r"|(audio|text)_transform\..*"
    r"|text_branch\.embeddings\.(position|token_type)_ids"
    r"|audio_branch\..*\.(attn_mask|relative_position_index)"
)


# HTSAT-base, by the width of its patches; HTSAT-tiny is transformers' default.
_HTSAT_BASE = {
    "patch_embeds_hidden_size": 128,
    "depths": [2, 2, 12, 2],
    "num_attention_heads": [4, 8, 16, 32],
    "hidden_size": 1024,
}


def convert_laion_clap(
    path: Path, out: Path, tokenizer: str | Path, config: ClapConfig | None = None
) -> TrainableClap:
    """Write a checkpoint of LAION's CLAP (HTSAT and RoBERTa, unfused) as transformers' CLAP.

    Args:
        path: the .pt file, whose tensors have the names of LAION-AI/CLAP.
        out: the directory to write.
        tokenizer: the directory, or hub id, of the model's tokenizer (roberta-base).
        config: the sizes of the networks, if they are neither HTSAT-tiny's nor HTSAT-base's.

    Raises InputError if the model has fusion, or naming a tensor that is missing, unknown or of
    another shape.
    """
    found = read_released_weights(path)
    if any(".fusion_model." in name for name in found):
        raise InputError(
            f"{path}: a CLAP with fusion; expected an unfused one, such as 630k-audioset-best.pt"
        )
    extractor = build_laion_extractor({})
    check_mel_bands(path, found, _LAION_BANDS, torch.from_numpy(extractor.mel_filters_slaney))
    model = ClapModel(config or _laion_config(found))
    fill_model(model, found, _laion_name, _LAION_UNUSED, path)
    pair = TrainableClap(model, extractor).eval()
    save_model_folder(pair, out, tokenizer, model.config.text_config.vocab_size)
    return pair


def _laion_config(found: dict[str, Tensor]) -> ClapConfig:
    patches = found.get("audio_branch.patch_embed.proj.weight")
    base = patches is not None and len(patches) == _HTSAT_BASE["patch_embeds_hidden_size"]
    # RoBERTa's own, where transformers' CLAP has BERT's.
    return ClapConfig(
        audio_config=_HTSAT_BASE if base else {}, text_config={"layer_norm_eps": 1e-5}
    )


def _laion_name(name: str) -> str:
    if name.startswith("audio_model."):
        return rename_weight(name, _LAION_AUDIO_NAMES)
    return rename_weight(name, _LAION_NAMES)
