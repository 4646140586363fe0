"""The adapter of speech-to-text models trained to caption, such as a fine-tuned Whisper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from curation.captioners.base import Candidate
from curation.captioners.pretrained import PretrainedCaptioner
from curation.models.config import EncoderDecoderConfig
from curation.schema import Failure, Tag

if TYPE_CHECKING:
    from curation.captioners.encoder_decoder_writer import EncoderDecoderWriter


@dataclass(frozen=True, kw_only=True)
class EncoderDecoder(PretrainedCaptioner):
    """Fulfils `Captioner` with a speech-to-text model of transformers, or one of its own code.

    The first candidate is the best of a beam search, the others are sampled, all from one encoding
    of the clip. It takes no tags.
    """

    expected = "a speech-to-text model with an encoder and a decoder"

    config: EncoderDecoderConfig

    def caption(
        self,
        waveforms: Sequence[np.ndarray],
        guidance: Sequence[Sequence[Tag]],
        seeds: Sequence[int],
        first: int = 0,
        last: int | None = None,
    ) -> list[list[Candidate] | Failure]:
        """Write the candidates of a batch of clips, whatever their guidance; see `Captioner`.

        What is no caption (`cleaning`) is left out; a clip for which nothing else was written is a
        failure, as are empty clips and samples that are not finite. A Whisper hears the first 30 s.
        """
        return self._loaded.caption(waveforms, seeds, range(self.config.candidates)[first:last])

    @cached_property
    def _loaded(self) -> EncoderDecoderWriter:
        from curation.captioners.encoder_decoder_writer import EncoderDecoderWriter

        return EncoderDecoderWriter(self._folder, self.config, self.expected, self.device)
