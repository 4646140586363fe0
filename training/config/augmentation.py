"""Defines the YAML sections of augmentation: random changes of waveforms and log-mel features."""

from pydantic import Field

from curation.section import Section


class AugmentConfig(Section):
    """Random changes of log-mel features that imitate recording conditions; 0 means none."""

    gain_db: float = Field(default=6.0, ge=0, description="Maximum level change.")
    equalizer_db: float = Field(
        default=1.0, ge=0, description="Standard deviation of a smooth spectral change."
    )
    noise: float = Field(default=0.0, ge=0, le=1, description="Share of clips with added noise.")
    silence: float = Field(
        default=0.0, ge=0, le=1, description="Share of batches padded with silence."
    )
    mel_shift: int = Field(default=0, ge=0, description="Maximum shift of the spectrum, in bands.")
    mel_mask: int = Field(
        default=0, ge=0, description="Maximum number of bands hidden at a time (SpecAugment)."
    )
    frame_mask: int = Field(
        default=0, ge=0, description="Maximum number of frames hidden at a time."
    )


class PretrainAugmentConfig(AugmentConfig):
    """Random changes of waveforms and of log-mel features; 0 turns a change off."""

    mixup: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Share of clips mixed with another of the batch; their captions are joined.",
    )
