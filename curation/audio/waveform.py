"""Operations on waveforms: resampling, levels, 16-bit samples and FLAC.

`decode` decodes audio files to waveforms.
"""

import io
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt
import soundfile

if TYPE_CHECKING:
    import torch

Waveform = npt.NDArray[np.float32]

FLOOR_DBFS = -120.0

# A larger sinc kernel is slow and can fill the memory; such pairs of rates are filtered by SciPy.
_MAX_KERNEL_TAPS = 2**20


@dataclass(frozen=True)
class Levels:
    """Levels in dB relative to full scale: a full-scale sine has peak 0 and RMS -3.01 dBFS.

    The lowest value is `FLOOR_DBFS`, which means digital silence.
    """

    peak_dbfs: float
    rms_dbfs: float


def measure_levels(waveform: Waveform) -> Levels:
    """Measure peak and RMS of `[samples]` in dBFS, as defined in `Levels`. NaN samples give NaN."""
    peak = max(float(waveform.max()), -float(waveform.min()))
    rms = math.sqrt(float(np.dot(waveform, waveform)) / len(waveform))
    return Levels(_dbfs(peak), _dbfs(rms))


def resample(waveform: Waveform, from_hz: int, to_hz: int) -> Waveform:
    """Resample `[samples]` to `ceil(samples * to_hz / from_hz)` samples. Thread-safe."""
    if from_hz == to_hz:
        return waveform
    divisor = math.gcd(from_hz, to_hz)
    up, down = to_hz // divisor, from_hz // divisor
    if up * down > _MAX_KERNEL_TAPS:
        import scipy.signal  # slow to import, and few pairs need it

        resampled = scipy.signal.resample_poly(waveform, up, down)
        return np.ascontiguousarray(resampled, dtype=np.float32)
    import torch  # heavy, and a clip that is at the right rate already does not need it

    with torch.inference_mode():
        # torch warns of arrays that it could not write to.
        samples = torch.from_numpy(np.require(waveform, np.float32, ["C", "W"]))
        return cast(Waveform, _sinc_resampler(from_hz, to_hz)(samples).numpy())


def to_int16(waveform: Waveform) -> npt.NDArray[np.int16]:
    """Convert `[samples]` to 16-bit samples.

    Samples are multiplied by 32767, rounded to the nearest integer, and clipped at full scale.
    """
    scaled = np.clip(waveform, -1.0, 1.0)
    scaled *= np.float32(32767)
    return np.rint(scaled, out=scaled).astype(np.int16)


def from_int16(samples: npt.NDArray[np.int16]) -> Waveform:
    """Convert 16-bit samples to a waveform.

    `to_int16` inverts this conversion, except that -32768 becomes -32767.
    """
    waveform = samples.astype(np.float32)
    waveform /= np.float32(32767)
    return waveform


def encode_flac(samples: npt.NDArray[np.int16], sample_rate_hz: int) -> bytes:
    """Encode 16-bit mono `[samples]` as a FLAC file, without loss."""
    file = io.BytesIO()
    soundfile.write(file, samples, sample_rate_hz, format="FLAC", subtype="PCM_16")
    return file.getvalue()


def resample_to_flac(waveform: Waveform, from_hz: int, to_hz: int) -> bytes:
    """Resample `[samples]` and encode them as a mono 16-bit FLAC file."""
    return encode_flac(to_int16(resample(waveform, from_hz, to_hz)), to_hz)


@lru_cache(maxsize=32)
def _sinc_resampler(from_hz: int, to_hz: int) -> "torch.nn.Module":
    """The kernel for a pair of rates (Hann-windowed sinc), built once."""
    import torchaudio

    return cast("torch.nn.Module", torchaudio.transforms.Resample(from_hz, to_hz))


def _dbfs(amplitude: float) -> float:
    floor = 10 ** (FLOOR_DBFS / 20)
    return amplitude if math.isnan(amplitude) else 20 * math.log10(max(amplitude, floor))
