"""The contract of models that can share log-mel features; works without torch.

Two models with the same front end compute the same features of a clip. The first model computes
them, and they are stored with the clip for the second model.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from curation.models.networks.log_mel_config import LogMelConfig
from curation.schema import Failure


@dataclass(frozen=True)
class FrontEnd:
    """Everything on which the features of a waveform depend. Equal front ends give equal features.

    A clip shorter than `shortest_clip` samples is padded with silence.
    """

    log_mel: LogMelConfig
    shortest_clip: int


@runtime_checkable
class LogMelInput(Protocol):
    """A captioner or scorer that accepts log-mel features instead of waveforms.

    A captioner also has `encode_features`, whose results equal those of `encode` to the last bit. A
    scorer also has `embed_features`, whose results equal those of `embed_audio`.
    """

    @property
    def front_end(self) -> FrontEnd | None:
        """The front end whose features the model accepts; None if it accepts only waveforms.

        Known after `setup`.
        """
        ...

    def compute_features(self, waveforms: Sequence[np.ndarray]) -> list[np.ndarray | Failure]:
        """Compute the features of a batch of clips, float32 `[frame, mel]` each, in order.

        Args:
            waveforms: as in `Captioner.caption` and `Scorer.embed_audio`.
        """
        ...
