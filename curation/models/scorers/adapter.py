"""What the adapters of scorers share: one embedder, whatever the model."""

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
    """Fulfils `Scorer` and `LogMelInput` by the `Embedder` that a subclass loads."""

    @cached_property
    def identity(self) -> dict[str, str]:
        """As `Adapter.identity`, and how captions are scored that the text tower cannot read whole.

        Raises InputError, as `setup` does.
        """
        return {**super().identity, "long_captions": "mean of sentences"}

    def embed_audio(self, waveforms: Sequence[np.ndarray]) -> list[np.ndarray | Failure]:
        """Embed clips; see `Scorer`.

        Clips shorter than one frame of the encoder are padded with silence; empty clips, samples
        and embeddings that are not finite are failures. A clip longer than the model hears at once
        is embedded window by window, the last one flush with its end; its embedding is the mean of
        theirs, normalised again.
        """
        return self._loaded.embed_audio(waveforms)

    @property
    def front_end(self) -> FrontEnd | None:
        return self._loaded.front_end

    def compute_features(self, waveforms: Sequence[np.ndarray]) -> list[np.ndarray | Failure]:
        """Compute log-mel features of clips; see `LogMelInput`."""
        return self._loaded.compute_features(waveforms)

    def embed_features(self, features: Sequence[np.ndarray]) -> list[np.ndarray | Failure]:
        """Embed clips by their features; see `LogMelInput`."""
        return self._loaded.embed_features(features)

    def embed_text(self, captions: Sequence[str]) -> np.ndarray:
        """Embed captions; see `Scorer`.

        A caption of more tokens than the text tower reads is embedded sentence by sentence, each
        cut where it is still too long; its embedding is the mean of theirs, normalised again.
        """
        return self._loaded.embed_text(captions)

    @cached_property
    def _loaded(self) -> Embedder:
        raise NotImplementedError
