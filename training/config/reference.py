"""Defines the YAML sections of the reference trainers. The defaults gave the built-in models."""

from typing import Literal

from pydantic import Field

from curation.section import Section
from training.config.augmentation import AugmentConfig
from training.config.networks import CnnConfig, FrontendConfig


class CorpusConfig(Section):
    """The procedural sounds for training and for evaluation."""

    clips: int = Field(default=8000, ge=1, description="Training clips.")
    seed: int = Field(
        default=1000, ge=1000, description="Corpus seed (the training's --seed is added to it)."
    )
    held_out_clips: int = Field(default=800, ge=1, description="Clips of the evaluation.")
    held_out_seed: int = Field(
        default=7, ge=0, lt=1000, description="Corpus seed of the evaluation."
    )
    workers: int = Field(default=2, ge=1, description="Rendering processes; 1 renders in this one.")


class ReferenceScheduleConfig(Section):
    """Epochs, batch size and learning rates of Muon and AdamW, which follow one cycle."""

    epochs: int = Field(default=10, ge=1)
    batch_size: int = Field(default=16, ge=2)
    learning_rate: float = Field(default=3e-3, gt=0, description="Learning rate of AdamW.")
    muon_learning_rate: float = Field(
        default=0.02, gt=0, description="Learning rate of convolutions (Muon)."
    )
    weight_decay: float = Field(default=0.01, ge=0)
    warmup_fraction: float = Field(
        default=0.1, ge=0, lt=1, description="Share of the steps with a rising rate."
    )
    max_gradient_norm: float = Field(default=1.0, gt=0)


class ReferenceCaptionerConfig(Section):
    """All settings of `tagscribe-train captioner`."""

    corpus: CorpusConfig = CorpusConfig()
    frontend: FrontendConfig = FrontendConfig()
    cnn: CnnConfig = CnnConfig()
    guidance_mode: Literal["memory", "additive"] = "additive"
    guidance_dropout: float = Field(
        default=0.45, ge=0, le=1, description="Share of clips whose tags are hidden."
    )
    noisy_tags: float = Field(
        default=0.6, ge=0, le=1, description="Share of clips with noisy instead of true tags."
    )
    tag_loss_weight: float = Field(default=10.0, ge=0)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    dim: int = Field(default=128, ge=8)
    heads: int = Field(default=4, ge=1)
    feed_forward: int = Field(default=256, ge=8)
    encoder_layers: int = Field(default=1, ge=0)
    decoder_layers: int = Field(default=2, ge=1)
    dropout: float = Field(default=0.05, ge=0, lt=1)
    augment: AugmentConfig = AugmentConfig()
    schedule: ReferenceScheduleConfig = ReferenceScheduleConfig()


class ReferenceClapConfig(Section):
    """Settings of `tagscribe-train pretrain` without a table, which trains the reference CLAP."""

    corpus: CorpusConfig = CorpusConfig(seed=2000)
    frontend: FrontendConfig = FrontendConfig()
    cnn: CnnConfig = CnnConfig()
    audio_layers: int = Field(default=2, ge=0)
    audio_dim: int = Field(default=128, ge=8)
    audio_heads: int = Field(default=4, ge=1)
    embed_dim: int = Field(default=128, ge=2)
    text_dim: int = Field(default=128, ge=8)
    text_layers: int = Field(default=2, ge=1)
    text_heads: int = Field(default=4, ge=1)
    text_feed_forward: int = Field(default=256, ge=8)
    text_dropout: float = Field(default=0.0, ge=0, lt=1)
    max_text_tokens: int = Field(default=32, ge=4)
    hard_negatives: int = Field(
        default=3, ge=0, description="Wrong captions per clip, of all kinds."
    )
    tag_loss_weight: float = Field(
        default=10.0, ge=0, description="Weight of the loss of predicting tags; training only."
    )
    augment: AugmentConfig = AugmentConfig(
        gain_db=8, equalizer_db=2, noise=0.15, silence=0.1, mel_shift=1, mel_mask=4, frame_mask=3
    )
    schedule: ReferenceScheduleConfig = ReferenceScheduleConfig(
        epochs=8, batch_size=32, learning_rate=2e-3
    )
