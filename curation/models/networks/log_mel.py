"""The log-mel front end of the audio towers: converts waveforms to decibels by mel band."""

import math
from functools import cache
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from curation.models.networks.log_mel_config import LogMelConfig


class LogMel(nn.Module):
    """Computes mel bands of the power spectrogram, in dB (reference 1, floor -100 dB, no ceiling).

    For a single clip the result equals that of torchaudio's `MelSpectrogram`, with the same `norm`
    and `mel_scale`, followed by `AmplitudeToDB()`. In a padded batch each clip is still reflected
    at its own end, so padding changes none of its frames. The module has no parameters and no
    buffers.
    """

    def __init__(self, config: LogMelConfig) -> None:
        super().__init__()
        self.config = config

    def frames(self, lengths: Tensor) -> Tensor:
        """Return the number of frames of clips with `lengths` samples."""
        return lengths // self.config.hop + 1

    def forward(self, waveforms: Tensor, lengths: Tensor) -> Tensor:
        """Compute `[batch, frame, mel]` in dB from `[batch, sample]`.

        Frames beyond `frames(lengths)` are undefined. Raises ValueError if a clip is shorter than
        `config.shortest`.
        """
        config = self.config
        if int(lengths.min()) < config.shortest:
            raise ValueError(
                f"a clip of {int(lengths.min())} samples is too short for a window of "
                f"{config.n_fft}: pad it to {config.shortest} samples"
            )
        if waveforms.device.type == "cpu":
            # A clip's spectrogram stays in the cache, a batch's does not: three times as fast.
            clips = zip(waveforms.split(1), lengths.split(1), strict=True)
            return torch.cat([self._log_mel(*clip) for clip in clips])
        return self._log_mel(waveforms, lengths)

    def _log_mel(self, waveforms: Tensor, lengths: Tensor) -> Tensor:
        config = self.config
        frames = self._reflected(waveforms, lengths).unfold(1, config.n_fft, config.hop)
        spectrum = torch.fft.rfft(frames * _window(config, waveforms.device))
        # As |spectrum|^2 by torch's abs, at a quarter of its time.
        power = spectrum.real.square() + spectrum.imag.square()
        mel = power @ mel_filter_bank(config, waveforms.device)
        return 10.0 * mel.clamp(min=1e-10).log10()

    def _reflected(self, waveforms: Tensor, lengths: Tensor) -> Tensor:
        pad = self.config.n_fft // 2
        padded = F.pad(waveforms, (pad, pad))
        padded[:, :pad] = waveforms[:, 1 : pad + 1].flip(-1)
        for row, length in enumerate(lengths.tolist()):
            padded[row, pad + length : length + 2 * pad] = waveforms[
                row, length - 1 - pad : length - 1
            ].flip(-1)
        return padded


# Kept outside the module: loaders that build models on the meta device lose buffers that are not
# in the checkpoint, and half-precision checkpoints would round them.
@cache
def _window(config: LogMelConfig, device: torch.device) -> Tensor:
    with torch.inference_mode(False):
        window = torch.hann_window(config.window, device=device)
        before = (config.n_fft - config.window) // 2
        return F.pad(window, (before, config.n_fft - config.window - before))


@cache
def mel_filter_bank(config: LogMelConfig, device: torch.device) -> Tensor:
    """Compute the bands' weights `[frequency bin, mel]`: triangles that overlap by half.

    The result is bit-identical to torchaudio's `melscale_fbanks`, because the order of operations
    is the same.
    """
    with torch.inference_mode(False):
        bins = torch.linspace(0, config.sample_rate_hz // 2, config.n_fft // 2 + 1)
        lowest, highest = (_to_mel(hz, config.mel_scale) for hz in (config.low_hz, config.high_hz))
        corners = _to_hz(torch.linspace(lowest, highest, config.mels + 2), config.mel_scale)
        widths, distances = corners.diff(), corners - bins[:, None]
        rising, falling = -distances[:, :-2] / widths[:-1], distances[:, 2:] / widths[1:]
        bands = torch.minimum(rising, falling).clamp(min=0.0)
        if config.norm == "slaney":
            bands = bands * (2.0 / (corners[2:] - corners[:-2]))
        return bands.to(device)


# Slaney's mel scale (Auditory Toolbox): linear up to 1000 Hz, 27 steps a factor of 6.4 above.
_HZ_PER_MEL, _LINEAR_HZ, _LOG_STEP = 200.0 / 3, 1000.0, math.log(6.4) / 27.0
_LINEAR_MEL = _LINEAR_HZ / _HZ_PER_MEL


def _to_mel(hz: float, scale: Literal["slaney", "htk"]) -> float:
    if scale == "htk":
        return 2595.0 * math.log10(1.0 + hz / 700.0)
    if hz < _LINEAR_HZ:
        return hz / _HZ_PER_MEL
    return _LINEAR_MEL + math.log(hz / _LINEAR_HZ) / _LOG_STEP


def _to_hz(mel: Tensor, scale: Literal["slaney", "htk"]) -> Tensor:
    if scale == "htk":
        return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)
    log = _LINEAR_HZ * torch.exp(_LOG_STEP * (mel - _LINEAR_MEL))
    return torch.where(mel < _LINEAR_MEL, _HZ_PER_MEL * mel, log)
