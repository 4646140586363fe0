"""The contract of models that share log-mel features; without torch.

Two models with the same front end compute the same features of a clip. The first of them computes
the features, and they are kept with the clip for the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from curation.models.networks.log_mel_config import LogMelConfig
from curation.schema import Failure


@dataclass(frozen=True)
class FrontEnd:
    """Everything that the features of a waveform depend on: equal front ends give equal features.

    A clip shorter than `shortest_clip` samples is padded with silence.
    """

    log_mel: LogMelConfig
    shortest_clip: int


@runtime_checkable
class LogMelInput(Protocol):
    """A captioner or scorer that takes features instead of waveforms.

    It also has `encode_features` (a captioner) or `embed_features` (a scorer). They give the
    results of `encode` and `embed_audio`, identical to the last bit.
    """

    @property
    def front_end(self) -> FrontEnd | None:
        """The front end whose features it takes, known after `setup`; None if only waveforms."""
        ...

    def compute_features(self, waveforms: Sequence[np.ndarray]) -> list[np.ndarray | Failure]:
        """The features of a batch of clips, float32 `[frame, mel]` each, in order.

        Args:
            waveforms: as in `Captioner.caption` and `Scorer.embed_audio`.
        """
        ...
