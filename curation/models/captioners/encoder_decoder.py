"""The adapter of speech-to-text models trained to write captions, such as a fine-tuned Whisper."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from curation.config.models import EncoderDecoderConfig
from curation.models.captioners.untagged import UntaggedCaptioner

if TYPE_CHECKING:
    from curation.models.captioners.encoder_decoder_generator import EncoderDecoderGenerator


@dataclass(frozen=True, kw_only=True)
class EncoderDecoderCaptioner(UntaggedCaptioner):
    """Implements `Captioner` with a speech-to-text model of transformers, or one with its own code.

    All candidates of a clip are written from one encoding of the clip. Whisper models use the first
    30 s of a clip.
    """

    expected = "a speech-to-text model with an encoder and a decoder"

    config: EncoderDecoderConfig

    @cached_property
    def _loaded(self) -> EncoderDecoderGenerator:
        from curation.models.captioners.encoder_decoder_generator import EncoderDecoderGenerator

        return EncoderDecoderGenerator(self._folder, self.config, self.expected, self.device)
