"""LAION's two front ends, which turn a clip of any length into input of a CLAP's audio tower.

The front end of models without fusion (truncation "rand_trunc") makes one view of 10 s with slaney
bands. The front end of models with fusion (truncation "fusion") makes four views with HTK bands.
The values equal those of transformers' `ClapFeatureExtractor`, except that fixed rules replace its
random choices.
"""

from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import ClapConfig, ClapFeatureExtractor

from curation.errors import InputError
from curation.models.networks.log_mel_config import LogMelConfig

Padding = Literal["repeatpad", "repeat", "pad"]

_LAION_FRONT_END = {
    "sampling_rate": 48_000,
    "fft_window_size": 1024,
    "hop_length": 480,
    "feature_size": 64,
    "frequency_min": 50,
    "frequency_max": 14_000,
    "max_length_s": 10,
    "padding": "repeatpad",
    "truncation": "rand_trunc",
}

_FULL_SCALE = 32767


def build_laion_extractor(changes: dict[str, Any]) -> ClapFeatureExtractor:
    """Build the front end of LAION's models without fusion, with `changes` of its settings."""
    return ClapFeatureExtractor(**_LAION_FRONT_END | changes)


def read_clap_extractor(folder: Path) -> ClapFeatureExtractor:
    """Read the front end in a CLAP's directory. Raises InputError if there is none."""
    try:
        return ClapFeatureExtractor.from_pretrained(folder)
    except (OSError, TypeError, ValueError) as error:
        raise InputError(
            f"{folder}: no front end of a CLAP; expected preprocessor_config.json as "
            f"ClapFeatureExtractor writes it: {error}"
        ) from error


def extractor_log_mel_config(extractor: ClapFeatureExtractor) -> LogMelConfig:
    """Return an extractor's mel bands: HTK (equal height) for models with fusion, else slaney."""
    fused = extractor.truncation == "fusion"
    return LogMelConfig(
        sample_rate_hz=extractor.sampling_rate,
        n_fft=extractor.fft_window_size,
        window=extractor.fft_window_size,
        hop=extractor.hop_length,
        mels=extractor.feature_size,
        low_hz=extractor.frequency_min,
        high_hz=extractor.frequency_max,
        mel_scale="htk" if fused else "slaney",
        norm=None if fused else "slaney",
    )


def frames_per_view(extractor: ClapFeatureExtractor) -> int:
    """Number of frames of a view; 1001 in LAION's training."""
    return extractor.nb_max_samples // extractor.hop_length + 1


def quantize_to_int16(waveform: Tensor) -> Tensor:
    """Round a waveform to 16 bits: clip at full scale, and truncate towards zero.

    LAION trained on such waveforms; transformers' extractor omits this step. Source: LAION-AI/CLAP,
    training/data.py (float32_to_int16, int16_to_float32).
    """
    return (waveform.clamp(-1, 1) * _FULL_SCALE).trunc() / _FULL_SCALE


def crop_or_pad(clip: Tensor, samples: int, padding: Padding) -> Tensor:
    """Crop or pad a clip `[sample]` to `samples`.

    Of a longer clip the central window is used. A shorter clip is extended by `padding`:
    "repeatpad" repeats the clip as often as it fits and pads with zeros, "repeat" repeats and cuts
    it, "pad" pads it with zeros.
    """
    if len(clip) >= samples:
        start = (len(clip) - samples) // 2
        return clip[start : start + samples]
    fits = samples // len(clip)
    repeats = {"repeatpad": fits, "repeat": fits + 1, "pad": 1}[padding]
    repeated = clip.repeat(repeats)[:samples]
    return F.pad(repeated, (0, samples - len(repeated)))


def fused_views(mel: Tensor, frames: int) -> Tensor:
    """Return four views `[4, frames, mel]` of log-mel features `[frame, mel]`.

    The features must have at least `frames` frames. The first view is the whole clip, resized to
    `frames`. The other views are chunks of `frames` frames from the front, the middle and the back
    of the clip. As in `ClapFeatureExtractor`, the frames at which a chunk may start are split into
    thirds, one third per chunk. transformers starts a chunk at a random frame of its third. Here a
    chunk starts in the middle of its third, or at frame 0 if the third is empty. If the clip has
    exactly `frames` frames, all four views are the clip.
    """
    if len(mel) == frames:
        return mel.expand(4, -1, -1)
    size = (frames, mel.shape[1])
    whole = F.interpolate(mel[None, None], size=size, mode="bilinear", align_corners=False)[0]
    thirds = torch.arange(len(mel) - frames + 1).tensor_split(3)
    starts = [int(third[len(third) // 2]) if len(third) else 0 for third in thirds]
    return torch.cat([whole, *(mel[None, start : start + frames] for start in starts)])


def check_front_end(config: ClapConfig, extractor: ClapFeatureExtractor) -> None:
    """Raise InputError for a front end whose output does not fit the audio tower."""
    audio = config.audio_config
    wanted = "fusion" if audio.enable_fusion else "rand_trunc"
    if extractor.truncation != wanted:
        raise InputError(
            f"the front end (truncation: {extractor.truncation} in preprocessor_config.json) and "
            f"the audio tower (enable_fusion: {audio.enable_fusion} in config.json) do not belong "
            f"together; expected truncation: {wanted}"
        )
    if extractor.feature_size != audio.num_mel_bins:
        raise InputError(
            f"the front end makes {extractor.feature_size} mel bands (feature_size), the audio "
            f"tower takes {audio.num_mel_bins} (num_mel_bins); give both the same number"
        )
    frames = frames_per_view(extractor)
    most = audio.spec_size * (audio.spec_size // audio.num_mel_bins)
    if frames > most:
        raise InputError(
            f"the front end makes {frames} frames (max_length_s: {extractor.max_length_s}, "
            f"hop_length: {extractor.hop_length}), the audio tower takes {most} (spec_size: "
            f"{audio.spec_size}, num_mel_bins: {audio.num_mel_bins}); shorten one or enlarge "
            "the other"
        )
