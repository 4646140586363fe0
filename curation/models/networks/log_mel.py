"""The log-mel front end shared by the audio towers: waveforms in, decibels a mel band out."""

from functools import cache

import torch
import torchaudio.functional as audio_functional
from torch import Tensor, nn
from torch.nn import functional as F

from curation.models.networks.log_mel_config import LogMelConfig


class LogMel(nn.Module):
    """Mel bands of the power spectrogram, in dB (reference 1, floor -100 dB, no top).

    Equal to torchaudio's `MelSpectrogram`, of the same `norm` and `mel_scale`, and
    `AmplitudeToDB()` on a clip alone. In a padded batch each clip is still reflected at its own
    end, so that what it is padded with changes none of its frames. There is no state to save or to
    move.
    """

    def __init__(self, config: LogMelConfig) -> None:
        super().__init__()
        self.config = config

    def frames(self, lengths: Tensor) -> Tensor:
        """How many frames clips of so many samples have."""
        return lengths // self.config.hop + 1

    def forward(self, waveforms: Tensor, lengths: Tensor) -> Tensor:
        """Compute `[batch, frame, mel]` in dB from `[batch, sample]`.

        Frames beyond `frames(lengths)` are undefined. Raises ValueError when a clip is shorter
        than `config.shortest`.
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
    """The bands' weights `[frequency bin, mel]`."""
    with torch.inference_mode(False):
        return audio_functional.melscale_fbanks(
            config.n_fft // 2 + 1,
            config.low_hz,
            config.high_hz,
            config.mels,
            config.sample_rate_hz,
            norm=config.norm,
            mel_scale=config.mel_scale,
        ).to(device)
