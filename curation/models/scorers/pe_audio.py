"""The adapter of PE-AV, whose audio and text towers embed audio and captions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from curation.config.models import Dtype
from curation.models import files
from curation.models.scorers.adapter import ScorerAdapter

if TYPE_CHECKING:
    from curation.models.scorers.embedder import Embedder


@dataclass(frozen=True)
class PeAudioScorer(ScorerAdapter):
    """Implements `Scorer` with a `PeAudioModel`, or the audio part of a `PeAudioVideoModel`.

    Attributes:
        dtype: precision of weights and computation; embeddings are float32.
    """

    dtype: Dtype = "bfloat16"

    @cached_property
    def sample_rate_hz(self) -> int:
        return files.read_sample_rate_hz(self._folder)

    @cached_property
    def _folder(self) -> Path:
        return files.locate_pretrained_model(self.model, self.revision, "a PE-AV")

    @cached_property
    def _loaded(self) -> Embedder:
        import torch

        from curation.models.networks.pe_audio import load_pe_audio
        from curation.models.scorers.embedder import Embedder

        loaded = load_pe_audio(self._folder, self.device, getattr(torch, self.dtype))
        return Embedder(self._folder, *loaded)
