"""Tiny random networks of our own classes: their outputs are meaningless, but repeatable."""

import torch

from curation.models.networks.cnn14 import Cnn14Config
from curation.models.networks.dual_encoder import DualEncoder, DualEncoderConfig
from curation.models.networks.log_mel_config import LogMelConfig
from curation.models.networks.tag_guided_captioner import (
    GuidanceMode,
    TagGuidedCaptioner,
    TagGuidedCaptionerConfig,
)
from curation.models.word_tokenizer import build_word_tokenizer

FRONTEND = LogMelConfig(sample_rate_hz=8000, n_fft=256, window=256, hop=160, high_hz=4000.0)
CNN = Cnn14Config(channels=(4, 8, 8), convs_per_block=1, embed_dim=None)
TAGS = ["/m/0bt9lr", "/m/06mb1", "/m/05tny_"]  # Dog; Rain; Bark
CAPTIONS = ["a dog barks while rain falls in the background", "rain falls and then a cat meows"]


def sharpened(model: torch.nn.Module) -> torch.nn.Module:
    """Scale the weights up, so that a random model has preferences that differ between clips."""
    torch.manual_seed(2)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1:
                gain = 0.3 if "words" in name else 3
                parameter.normal_(std=gain / parameter[0].numel() ** 0.5)
    return model.eval()


def tiny_captioner(guidance_mode: GuidanceMode, **sizes: int) -> TagGuidedCaptioner:
    config = TagGuidedCaptionerConfig(
        frontend=FRONTEND,
        cnn=CNN,
        tags=TAGS,
        guidance_mode=guidance_mode,
        dim=16,
        heads=2,
        feed_forward=16,
        vocab_size=len(build_word_tokenizer(CAPTIONS, 20)),
        **sizes,
    )
    model = sharpened(TagGuidedCaptioner(config))
    assert isinstance(model, TagGuidedCaptioner)
    return model


def tiny_dual_encoder() -> DualEncoder:
    config = DualEncoderConfig(
        frontend=FRONTEND,
        cnn=CNN,
        audio_layers=1,
        audio_dim=16,
        audio_heads=2,
        text={
            "model_type": "bert",
            "vocab_size": len(build_word_tokenizer(CAPTIONS, 20)),
            "hidden_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 16,
        },
        max_text_tokens=12,
        embed_dim=8,
    )
    model = sharpened(DualEncoder(config))
    assert isinstance(model, DualEncoder)
    return model
