"""The tagger contract: the methods that `annotate` calls on taggers of AudioSet classes."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from curation.schema import Failure, Tag


class Tagger(Protocol):
    """Predicts AudioSet classes of clips."""

    @property
    def sample_rate_hz(self) -> int:
        """The sampling rate of the waveforms that `tag` takes; known before `setup`."""
        ...

    @property
    def identity(self) -> dict[str, str]:
        """Model name, revision and content hash, as stored in run.json; known before `setup`."""
        ...

    def setup(self) -> None:
        """Load the weights. Called once in the worker, before the first `tag`."""
        ...

    def offload(self) -> None:
        """Move the weights to host memory, so that another model can use the GPU."""
        ...

    def restore(self) -> None:
        """Move the weights back to the GPU. Called before `tag` after each `offload`."""
        ...

    def tag(self, waveforms: Sequence[np.ndarray]) -> list[list[Tag] | Failure]:
        """Predict the tags of each clip, highest confidence first, with origin "predicted".

        Args:
            waveforms: float32, mono, `[samples]` each at `sample_rate_hz`; lengths may differ.
        """
        ...
