"""Directories of tiny scorers with random weights, as transformers writes its own."""

from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    ClapConfig,
    ClapModel,
    PeAudioConfig,
    PeAudioFeatureExtractor,
    PeAudioModel,
    PreTrainedTokenizerBase,
    RobertaTokenizerFast,
)

from curation.models.networks.clap_frontend import build_laion_extractor
from tests.support.tiny_networks import sharpened

# One second at 8 kHz becomes 101 frames of 32 bands; the tower folds up to 128.
FRONT_END = {
    "sampling_rate": 8000,
    "fft_window_size": 256,
    "hop_length": 80,
    "feature_size": 32,
    "frequency_max": 4000,
    "max_length_s": 1,
}
AUDIO = {
    "spec_size": 64,
    "num_mel_bins": 32,
    "window_size": 4,
    "patch_embeds_hidden_size": 8,
    "hidden_size": 16,
    "depths": [1, 1],
    "num_attention_heads": [2, 2],
    "num_hidden_layers": 2,
}
# With fusion as many bands as LAION's: transformers' extractor resizes to 64 whatever it has.
FUSED_FRONT_END = {**FRONT_END, "truncation": "fusion", "fft_window_size": 512, "feature_size": 64}
FUSED_AUDIO = {**AUDIO, "enable_fusion": True, "spec_size": 128, "num_mel_bins": 64}
TEXT = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 40,
}


def as_int16(clip: np.ndarray) -> np.ndarray:
    """A waveform by LAION's rule, as its data.py has it: to 16 bits towards zero, and back."""
    stored = (np.clip(clip, a_min=-1.0, a_max=1.0) * 32767.0).astype(np.int16)
    return (stored / 32767.0).astype(np.float32)


def bytes_tokenizer(**settings: str) -> PreTrainedTokenizerBase:
    """RoBERTa's special tokens and bytes, without merges."""
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokens = [*special, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    inner = Tokenizer(models.BPE({token: index for index, token in enumerate(tokens)}, []))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return RobertaTokenizerFast(tokenizer_object=inner, model_max_length=38, **settings)


def clap(folder: Path, fused: bool) -> ClapModel:
    """Write a CLAP with windows of 1 s at 8 kHz, with fusion or without."""
    tokenizer = bytes_tokenizer()
    config = ClapConfig(
        audio_config=FUSED_AUDIO if fused else AUDIO,
        text_config={**TEXT, "vocab_size": len(tokenizer)},
        projection_dim=8,
    )
    model = sharpened(ClapModel(config))
    assert isinstance(model, ClapModel)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    build_laion_extractor(FUSED_FRONT_END if fused else FRONT_END).save_pretrained(folder)
    return model


def pe_audio(folder: Path) -> PeAudioModel:
    """Write a PE-AV of 8 kHz whose frames have 32 samples, with windows of 500 (2 s)."""
    tokenizer = bytes_tokenizer()
    model = awake(PeAudioModel(tiny_pe_audio_config(len(tokenizer))))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    PeAudioFeatureExtractor(sampling_rate=8000, hop_length=32).save_pretrained(folder)
    return model


def tiny_pe_audio_config(vocab_size: int) -> PeAudioConfig:
    return PeAudioConfig(
        text_config={
            "model_type": "modernbert",
            "vocab_size": vocab_size,
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "max_position_embeddings": 48,
            "pad_token_id": 1,
            "bos_token_id": 0,
            "cls_token_id": 0,
            "eos_token_id": 2,
            "sep_token_id": 2,
        },
        audio_config={
            "dac_config": {
                "model_type": "dac",
                "encoder_hidden_size": 4,
                "downsampling_ratios": [2, 4, 4],
                "codebook_dim": 8,
            },
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "head_dim": 8,
            "max_position_embeddings": 501,
        },
    )


def awake(model: PeAudioModel) -> PeAudioModel:
    """Weights that keep the size of what they are given, so that clips differ in what comes out."""
    torch.manual_seed(3)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1 and not name.endswith("alpha"):
                parameter.normal_(std=parameter[0].numel() ** -0.5)
    return model.eval()
