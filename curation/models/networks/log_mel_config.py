"""The settings of the log-mel front end; works without torch."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class LogMelConfig:
    """The settings of a log-mel front end; the defaults are those of BLAT at 32 kHz.

    Source: wsntxxn/BLAT, models/audio_encoder.py (32 ms windows every 10 ms).

    Attributes:
        norm: "slaney" gives the bands equal area, None equal height.
    """

    sample_rate_hz: int = 32_000
    n_fft: int = 1024
    window: int = 1024
    hop: int = 320
    mels: int = 64
    low_hz: float = 50.0
    high_hz: float = 14_000.0
    mel_scale: Literal["slaney", "htk"] = "slaney"
    norm: Literal["slaney"] | None = "slaney"

    @property
    def shortest(self) -> int:
        """Minimum number of samples of a clip; a shorter one cannot be reflected at both ends."""
        return self.n_fft // 2 + 1
