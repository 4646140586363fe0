"""The contract of models that take each other's log-mel features; without torch.

Two models with the same front end would compute the same features of a clip. They are computed
once instead, by whichever model comes first, and kept with the clip.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from curation.models.networks.log_mel_config import LogMelConfig
from curation.schema import Failure


@dataclass(frozen=True)
class FrontEnd:
    """All that the features of a waveform depend on: equal front ends give equal features.

    A clip shorter than `shortest_clip` samples is padded with silence.
    """

    log_mel: LogMelConfig
    shortest_clip: int


@runtime_checkable
class LogMelInput(Protocol):
    """A captioner or scorer that takes features in place of waveforms.

    It has beside this `encode_features` (a captioner) or `embed_features` (a scorer), which are
    `encode` and `embed_audio` of the features, to the last bit.
    """

    @property
    def front_end(self) -> FrontEnd | None:
        """Of what it takes features; known after `setup`. None: it takes waveforms alone."""
        ...

    def compute_features(self, waveforms: Sequence[np.ndarray]) -> list[np.ndarray | Failure]:
        """The features of a batch of clips, float32 `[frame, mel]` each, in order.

        Args:
            waveforms: as of `Captioner.caption` and `Scorer.embed_audio`.
        """
        ...
