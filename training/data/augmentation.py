"""Augments log-mel features in dB; each function takes and returns `[batch, frame, mel]`.

Features and random generator must be on the same device. The functions change the level, the
spectrum and the noise floor of a recording on its log-mel features, which costs a fraction of
changing the waveform.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from training.config.augmentation import AugmentConfig

_SILENCE_DB = -100.0
_KNOTS = 6
_NEPERS = math.log(10) / 10  # of power, a decibel


def augment(
    features: Tensor, lengths: Tensor, config: AugmentConfig, random: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Apply all changes of `config`. The lengths change if silence is added."""
    features = shift_mels(features, config.mel_shift, random)
    features = equalize(features, config.equalizer_db, random)
    features = add_noise(features, config.noise, random)
    features = features + _uniform((len(features), 1, 1), config.gain_db, random)
    features = hide(features, config.mel_mask, config.frame_mask, random)
    if torch.rand((), generator=random, device=random.device) < config.silence:
        features, lengths = add_silence(features, lengths, random)
    return features, lengths


def shift_mels(features: Tensor, most: int, random: torch.Generator) -> Tensor:
    """Move each clip's spectrum up or down by at most `most` bands; the edge band is repeated."""
    if not most:
        return features
    mels = features.shape[2]
    shift = torch.randint(
        -most, most + 1, (len(features), 1), generator=random, device=random.device
    )
    source = (torch.arange(mels, device=random.device) - shift).clamp(0, mels - 1)
    return features.gather(2, source[:, None, :].expand_as(features))


def equalize(features: Tensor, deviation_db: float, random: torch.Generator) -> Tensor:
    """Add a smooth random curve over the bands, a different one for each clip."""
    knots = (
        torch.randn(len(features), 1, _KNOTS, generator=random, device=random.device) * deviation_db
    )
    return features + F.interpolate(knots, features.shape[2], mode="linear", align_corners=True)


def add_noise(features: Tensor, share: float, random: torch.Generator) -> Tensor:
    """Add coloured noise, 5 to 40 dB below the clip's mean power, to some clips."""
    chosen = torch.rand(len(features), generator=random, device=random.device) < share
    clean = features[chosen] * _NEPERS
    level = clean.exp().mean(dim=(1, 2), keepdim=True).log()
    below = (5 + 35 * torch.rand(level.shape, generator=random, device=random.device)) * _NEPERS
    slope = torch.linspace(-_NEPERS, _NEPERS, features.shape[2], device=random.device)
    noise = level - below + _uniform(level.shape, 10.0, random) * slope
    noise = noise + 2 * _NEPERS * torch.randn(clean.shape, generator=random, device=random.device)
    mixed = features.clone()
    mixed[chosen] = torch.logaddexp(clean, noise) / _NEPERS
    return mixed


def hide(features: Tensor, most_mels: int, most_frames: int, random: torch.Generator) -> Tensor:
    """Set stripes of bands and of frames to the clip's mean (SpecAugment, Park et al. 2019)."""
    clips, frames, mels = features.shape
    hidden = torch.zeros(clips, frames, mels, dtype=torch.bool, device=random.device)
    for _ in range(2):
        hidden |= _stripe(clips, mels, most_mels, random)[:, None, :]
        hidden |= _stripe(clips, frames, most_frames, random)[:, :, None]
    return torch.where(hidden, features.mean(dim=(1, 2), keepdim=True), features)


def add_silence(
    features: Tensor, lengths: Tensor, random: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Lengthen the clips of a batch by digital silence, mostly at their end."""
    clips, frames, mels = features.shape
    added = int(torch.randint(1, frames // 2 + 2, (), generator=random, device=random.device))
    lengthened = torch.full((clips, frames + added, mels), _SILENCE_DB, device=random.device)
    starts = (torch.rand(clips, generator=random, device=random.device) ** 3 * added).long()
    for row, (start, length) in enumerate(zip(starts.tolist(), lengths.tolist(), strict=True)):
        lengthened[row, start : start + length] = features[row, :length]
    return lengthened, lengths + added


def _stripe(clips: int, places: int, most: int, random: torch.Generator) -> Tensor:
    """True on one stripe of up to `most` places: `[clips, places]`."""
    width = (torch.rand(clips, 1, generator=random, device=random.device) * (most + 1)).long()
    start = (torch.rand(clips, 1, generator=random, device=random.device) * places).long()
    place = torch.arange(places, device=random.device)
    return (place >= start) & (place < start + width)


def _uniform(shape: tuple[int, ...], half_range: float, random: torch.Generator) -> Tensor:
    return (2 * torch.rand(shape, generator=random, device=random.device) - 1) * half_range
