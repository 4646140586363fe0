"""Base class of scorer adapters; one class, `Embedder`, serves all models."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from curation.models.adapter import Adapter
from curation.models.log_mel_input import FrontEnd
from curation.schema import Failure

if TYPE_CHECKING:
    from curation.models.scorers.embedder import Embedder


class ScorerAdapter(Adapter):
    """Implements `Scorer` and `LogMelInput` with the `Embedder` that a subclass loads."""

    @cached_property
    def identity(self) -> dict[str, str]:
        """As `Adapter.identity`, plus the rule for captions that exceed the text tower's limit.

        Raises InputError as `setup` does.
        """
        return {**super().identity, "long_captions": "mean of sentences"}

    def embed_audio(self, waveforms: Sequence[np.ndarray]) -> list[np.ndarray | Failure]:
        """Embed clips; see `Scorer`.

        Clips shorter than one frame of the encoder are padded with silence. Empty clips, and
        samples or embeddings that are not finite, are failures. A clip longer than the model's
        window is embedded window by window; the last window ends with the clip. The clip's
        embedding is the normalised mean over the windows.
        """
        return self._loaded.embed_audio(waveforms)

    @property
    def front_end(self) -> FrontEnd | None:
        return self._loaded.front_end

    def compute_features(self, waveforms: Sequence[np.ndarray]) -> list[np.ndarray | Failure]:
        """Compute log-mel features of clips; see `LogMelInput`."""
        return self._loaded.compute_features(waveforms)

    def embed_features(self, features: Sequence[np.ndarray]) -> list[np.ndarray | Failure]:
        """Embed clips from their features; see `LogMelInput`."""
        return self._loaded.embed_features(features)

    def embed_text(self, captions: Sequence[str]) -> np.ndarray:
        """Embed captions; see `Scorer`.

        A caption longer than the text tower's limit is embedded sentence by sentence; a sentence
        that is too long is cut. The caption's embedding is the normalised mean over the sentences.
        """
        return self._loaded.embed_text(captions)

    @cached_property
    def _loaded(self) -> Embedder:
        raise NotImplementedError
