"""The adapter of speech-to-text models trained to caption, such as a fine-tuned Whisper."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from curation.config.models import EncoderDecoderConfig
from curation.models.captioners.untagged import Untagged

if TYPE_CHECKING:
    from curation.models.captioners.encoder_decoder_writer import EncoderDecoderWriter


@dataclass(frozen=True, kw_only=True)
class EncoderDecoder(Untagged):
    """Fulfils `Captioner` with a speech-to-text model of transformers, or one of its own code.

    All candidates are written from one encoding of the clip; a Whisper hears its first 30 s.
    """

    expected = "a speech-to-text model with an encoder and a decoder"

    config: EncoderDecoderConfig

    @cached_property
    def _loaded(self) -> EncoderDecoderWriter:
        from curation.models.captioners.encoder_decoder_writer import EncoderDecoderWriter

        return EncoderDecoderWriter(self._folder, self.config, self.expected, self.device)
