"""The scorer contract: audio and text embedded apart, so a clip's audio is embedded once."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from curation.schema import Failure


class Scorer(Protocol):
    """Embeds audio and captions into one space; their cosine is the CLAP score."""

    @property
    def sample_rate_hz(self) -> int:
        """The rate at which `embed_audio` wants its waveforms; known before `setup`."""
        ...

    @property
    def identity(self) -> dict[str, str]:
        """Model name, revision and content hash, as kept in run.json; known before `setup`."""
        ...

    def setup(self) -> None:
        """Load weights. Called once in the worker, before the first embedding."""
        ...

    def offload(self) -> None:
        """Leave the GPU to another model: the weights wait in the host's memory."""
        ...

    def restore(self) -> None:
        """Come back to the GPU. Called before an embedding after each `park`."""
        ...

    def embed_audio(self, waveforms: Sequence[np.ndarray]) -> list[np.ndarray | Failure]:
        """Embed clips: float32 unit vectors `[dim]`, one a clip, in order.

        Args:
            waveforms: float32, mono, `[samples]` each at `sample_rate_hz`; lengths may differ.
        """
        ...

    def embed_text(self, captions: Sequence[str]) -> np.ndarray:
        """Embed captions: float32 unit vectors `[captions, dim]`."""
        ...
