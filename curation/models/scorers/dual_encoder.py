"""The adapter of dual encoders and CLAP, which embed audio and captions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from curation.models import files
from curation.models.scorers.adapter import ScorerAdapter

if TYPE_CHECKING:
    from curation.models.scorers.embedder import Embedder

_DUAL_ENCODER, _CLAP = "tagscribe-dual-encoder", "clap"


@dataclass(frozen=True)
class DualEncoderScorer(ScorerAdapter):
    """Implements `Scorer` with a `DualEncoder`, or a CLAP of transformers.

    A CLAP without fusion takes windows of 10 s. A CLAP with fusion takes a clip of any length as
    four views of 10 s.
    """

    kind = "clap"

    @cached_property
    def sample_rate_hz(self) -> int:
        config = files.read_model_config(self._folder, _DUAL_ENCODER, _CLAP)
        if config["model_type"] == _DUAL_ENCODER:
            return files.log_mel_config(config).sample_rate_hz
        return files.read_sample_rate_hz(self._folder)

    @cached_property
    def _loaded(self) -> Embedder:
        from curation.models.networks.cnn14 import fold_batch_norms
        from curation.models.networks.load_towers import load_towers
        from curation.models.scorers.embedder import Embedder

        towers, tokenizer = load_towers(self._folder, self.device)
        fold_batch_norms(towers)
        return Embedder(self._folder, towers, tokenizer)
