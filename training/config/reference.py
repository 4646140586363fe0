"""What a training is told, as typed data; the defaults are the reference models' own settings."""

from typing import Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from curation.errors import InputError
from curation.models.networks.log_mel_config import LogMelConfig
from curation.storage import files as storage


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CorpusConfig(Section):
    """The procedural sounds that are trained on, and those held out."""

    clips: int = Field(default=8000, ge=1, description="Clips trained on.")
    seed: int = Field(
        default=1000, ge=1000, description="Corpus seed (the training's --seed is added to it)."
    )
    held_out_clips: int = Field(default=800, ge=1, description="Clips of the evaluation.")
    held_out_seed: int = Field(
        default=7, ge=0, lt=1000, description="Corpus seed of the evaluation."
    )
    workers: int = Field(
        default=2, ge=1, description="Processes that render; 1 renders in this one."
    )


class FrontendConfig(Section):
    """The log-mel front end."""

    sample_rate_hz: int = Field(default=16_000, gt=0)
    n_fft: int = Field(default=2048, gt=0)
    window: int = Field(default=2048, gt=0)
    hop: int = Field(default=1024, gt=0)
    mels: int = Field(default=64, gt=0)
    low_hz: float = Field(default=50.0, ge=0)
    high_hz: float = Field(default=8000.0, gt=0)

    def log_mel(self) -> LogMelConfig:
        return LogMelConfig(**self.model_dump())


class CnnConfig(Section):
    """The size of CNN14."""

    channels: tuple[int, ...] = Field(default=(16, 32, 64, 96, 128), min_length=1)
    convs_per_block: int = Field(default=1, ge=1)
    embed_dim: int | None = Field(
        default=None, description="None: frames only, no last linear layer."
    )
    block_dropout: float = Field(default=0.0, ge=0, lt=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)


class AugmentConfig(Section):
    """Random changes of log-mel features, so that a model hears past the recording; 0 is off."""

    gain_db: float = Field(default=6.0, ge=0, description="Half the range of a level change.")
    equalizer_db: float = Field(
        default=1.0, ge=0, description="Deviation of a smooth spectral change."
    )
    noise: float = Field(default=0.0, ge=0, le=1, description="Share of clips with added noise.")
    silence: float = Field(
        default=0.0, ge=0, le=1, description="Share of batches padded with silence."
    )
    mel_shift: int = Field(default=0, ge=0, description="Most bands that the spectrum moves by.")
    mel_mask: int = Field(default=0, ge=0, description="Most bands hidden at a time (SpecAugment).")
    frame_mask: int = Field(default=0, ge=0, description="Most frames hidden at a time.")


class ReferenceScheduleConfig(Section):
    """Muon and AdamW under one cycle of their learning rates."""

    epochs: int = Field(default=10, ge=1)
    batch_size: int = Field(default=16, ge=2)
    learning_rate: float = Field(default=3e-3, gt=0, description="Of AdamW.")
    muon_learning_rate: float = Field(default=0.02, gt=0, description="Of convolutions.")
    weight_decay: float = Field(default=0.01, ge=0)
    warmup_fraction: float = Field(
        default=0.1, ge=0, lt=1, description="Share of the steps that it rises."
    )
    max_gradient_norm: float = Field(default=1.0, gt=0)


class ReferenceCaptionerConfig(Section):
    """`tagscribe-train captioner`."""

    corpus: CorpusConfig = CorpusConfig()
    frontend: FrontendConfig = FrontendConfig()
    cnn: CnnConfig = CnnConfig()
    guidance_mode: Literal["memory", "additive"] = "additive"
    guidance_dropout: float = Field(
        default=0.45, ge=0, le=1, description="Clips whose tags are withheld."
    )
    noisy_tags: float = Field(
        default=0.6, ge=0, le=1, description="Of the tags given, how many noisy."
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
    """`tagscribe-train pretrain` without a table: the reference CLAP, on procedural sounds."""

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
    hard_negatives: int = Field(default=3, ge=0, description="Wrong captions a clip, of all kinds.")
    tag_loss_weight: float = Field(
        default=10.0, ge=0, description="Of naming the tags; training only."
    )
    augment: AugmentConfig = AugmentConfig(
        gain_db=8, equalizer_db=2, noise=0.15, silence=0.1, mel_shift=1, mel_mask=4, frame_mask=3
    )
    schedule: ReferenceScheduleConfig = ReferenceScheduleConfig(
        epochs=8, batch_size=32, learning_rate=2e-3
    )


Training = TypeVar("Training", bound=Section)


def load_training_config(uri: str | None, kind: type[Training]) -> Training:
    """Read a training's YAML; the reference's settings where there is none.

    Raises InputError naming the file and each key that is unknown or out of range.
    """
    return kind() if uri is None else validate_training_config(uri, read_training_yaml(uri), kind)


def read_training_yaml(uri: str) -> dict[str, Any]:
    """A YAML file as it stands. Raises InputError where there is none, or it holds no keys."""
    try:
        values: Any = yaml.safe_load(storage.read_bytes(uri))
    except (FileNotFoundError, IsADirectoryError) as error:
        raise InputError(f"{uri}: no such file; expected the YAML of a training") from error
    except yaml.YAMLError as error:
        raise InputError(f"{uri}: not YAML: {error}") from error
    if not isinstance(values or {}, dict):
        raise InputError(f"{uri}: expected keys and values, found {type(values).__name__}")
    return values or {}


def validate_training_config(uri: str, values: dict[str, Any], kind: type[Training]) -> Training:
    """Raises InputError naming the file and each key that is unknown or out of range."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors()
        )
        raise InputError(f"{uri}: {problems}") from error
