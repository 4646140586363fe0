"""The scorer contract: audio and text are embedded separately, so each clip is embedded once."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from curation.schema import Failure


class Scorer(Protocol):
    """Embeds audio and captions into one space; the cosine of two embeddings is the CLAP score."""

    @property
    def sample_rate_hz(self) -> int:
        """The sampling rate of the waveforms that `embed_audio` takes; known before `setup`."""
        ...

    @property
    def identity(self) -> dict[str, str]:
        """Model name, revision and content hash, as stored in run.json; known before `setup`."""
        ...

    def setup(self) -> None:
        """Load the weights. Called once in the worker, before the first embedding."""
        ...

    def offload(self) -> None:
        """Move the weights to host memory, so that another model can use the GPU."""
        ...

    def restore(self) -> None:
        """Move the weights back to the GPU. Called before an embedding after each `offload`."""
        ...

    def embed_audio(self, waveforms: Sequence[np.ndarray]) -> list[np.ndarray | Failure]:
        """Embed clips as float32 unit vectors `[dim]`, one per clip, in the order of the clips.

        Args:
            waveforms: float32, mono, `[samples]` each at `sample_rate_hz`; lengths may differ.
        """
        ...

    def embed_text(self, captions: Sequence[str]) -> np.ndarray:
        """Embed captions as float32 unit vectors `[captions, dim]`."""
        ...
