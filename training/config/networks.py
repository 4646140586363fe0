"""Defines the YAML sections of networks: front end, CNN14, text encoder, dual encoder, CLAP."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from curation.models.networks.log_mel_config import LogMelConfig
from curation.section import Section


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


class WordTextConfig(Section):
    """A small BERT whose tokens are whole words: the vocabulary of the training captions."""

    kind: Literal["words"] = "words"
    dim: int = Field(default=128, ge=8)
    layers: int = Field(default=2, ge=1)
    heads: int = Field(default=4, ge=1)
    feed_forward: int = Field(default=256, ge=8)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    max_tokens: int = Field(default=32, ge=4)


class PretrainedTextConfig(Section):
    """Any transformers encoder, or a sentence-transformers model."""

    kind: Literal["pretrained"] = "pretrained"
    model: str = Field(description="A directory or a hub id.")
    revision: str | None = Field(default=None, description="Of the hub id; pin it.")
    frozen: bool = Field(
        default=False, description="Do not train it; each caption is then embedded once."
    )


class DualEncoderModelConfig(Section):
    """CNN14 and a text encoder, each with a linear layer.

    The default sizes are those of the reference CLAP.
    """

    kind: Literal["dual_encoder"] = "dual_encoder"
    frontend: FrontendConfig = FrontendConfig()
    cnn: CnnConfig = CnnConfig()
    audio_layers: int = Field(default=2, ge=0, description="0: CNN14 pools, as in BLAT.")
    audio_dim: int = Field(default=128, ge=8)
    audio_heads: int = Field(default=4, ge=1)
    embed_dim: int = Field(default=128, ge=2)
    text: Annotated[WordTextConfig | PretrainedTextConfig, Field(discriminator="kind")] = (
        WordTextConfig()
    )

    @field_validator("text", mode="before")
    @classmethod
    def _words_by_default(cls, value: Any) -> Any:
        return with_default_kind("words", value)

    @model_validator(mode="after")
    def _pools(self) -> "DualEncoderModelConfig":
        if not self.audio_layers and self.cnn.embed_dim is None:
            raise ValueError("cnn.embed_dim is needed where audio_layers is 0: CNN14 then pools")
        return self


class ClapModelConfig(Section):
    """transformers' ClapModel (HTSAT and RoBERTa). The default sizes are those of LAION's model."""

    kind: Literal["clap"] = "clap"
    tokenizer: str = Field(description="Directory or hub id of the text tower's tokenizer.")
    tokenizer_revision: str | None = Field(default=None, description="Of the hub id; pin it.")
    audio: dict[str, Any] = Field(default={}, description="Keys of ClapAudioConfig.")
    text: dict[str, Any] = Field(default={}, description="Keys of ClapTextConfig.")
    frontend: dict[str, Any] = Field(default={}, description="Keys of ClapFeatureExtractor.")
    embed_dim: int = Field(default=512, ge=2)


class PretrainedModelConfig(Section):
    """An existing model that is trained further."""

    kind: Literal["pretrained"] = "pretrained"
    model: str = Field(description="A directory, 'reference', or a hub id.")
    revision: str | None = Field(default=None, description="Of the hub id; pin it.")


def with_default_kind(kind: str, value: Any) -> Any:
    """Add the default `kind` to a section without one."""
    return {"kind": kind, **value} if isinstance(value, dict) else value
