"""The adapter of dual encoders and CLAP: embeddings of sounds and of captions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from curation.models import files
from curation.models.adapter import Adapter
from curation.schema import Failure

if TYPE_CHECKING:
    from curation.scorers.embedder import Embedder

_DUAL_ENCODER, _CLAP = "tagscribe-dual-encoder", "clap"


@dataclass(frozen=True)
class DualEncoderScorer(Adapter):
    """Fulfils `Scorer` with any `Pair`: a `DualEncoder`, or a CLAP as transformers writes it."""

    kind = "clap"

    @cached_property
    def sample_rate_hz(self) -> int:
        config = files.read_config(self._folder, _DUAL_ENCODER, _CLAP)
        if config["model_type"] == _DUAL_ENCODER:
            return files.log_mel(config).sample_rate_hz
        from curation.models.clap import read_extractor

        return read_extractor(self._folder).sampling_rate

    def embed_audio(self, waveforms: Sequence[np.ndarray]) -> list[np.ndarray | Failure]:
        """Embed clips; see `Scorer`.

        Clips shorter than one frame of the encoder are padded with silence; empty clips and
        samples that are not finite are failures. A CLAP hears the central 10 s of a longer clip.
        """
        return self._loaded.embed_audio(waveforms)

    def embed_text(self, captions: Sequence[str]) -> np.ndarray:
        """Embed captions; see `Scorer`.

        The tower reads the first `max_text_tokens` tokens (the reference: 32 words); what a longer
        caption says after them does not count.
        """
        return self._loaded.embed_text(captions)

    @cached_property
    def _loaded(self) -> Embedder:
        from curation.scorers.embedder import Embedder

        return Embedder(self._folder, self.device)
