"""The tagger contract: what `annotate` asks of any model that names AudioSet's classes."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from curation.schema import Failure, Tag


class Tagger(Protocol):
    """Puts AudioSet classes on clips."""

    @property
    def sample_rate_hz(self) -> int:
        """The rate at which `tag` wants its waveforms; known before `setup`."""
        ...

    @property
    def identity(self) -> dict[str, str]:
        """Model name, revision and content hash, as kept in run.json; known before `setup`."""
        ...

    def setup(self) -> None:
        """Load weights. Called once in the worker, before the first `tag`."""
        ...

    def offload(self) -> None:
        """Leave the GPU to another model: the weights wait in the host's memory."""
        ...

    def restore(self) -> None:
        """Come back to the GPU. Called before `tag` after each `park`."""
        ...

    def tag(self, waveforms: Sequence[np.ndarray]) -> list[list[Tag] | Failure]:
        """The tags of a batch of clips, surest first, of origin "predicted", one entry a clip.

        Args:
            waveforms: float32, mono, `[samples]` each at `sample_rate_hz`; lengths may differ.
        """
        ...
