"""Computes the features of a batch on the device: gain, mixup, log-mel and SpecAugment."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import torch
from torch import Tensor
from torch.nn import functional as F

from curation.models.networks.towers import TrainableTowers
from training.config.augmentation import PretrainAugmentConfig
from training.data.augmentation import augment
from training.data.batch import AudioTextBatch

_ALONE = -1


@dataclass(frozen=True)
class BatchFeatures:
    """Log-mel features `[row, frame, mel]` in dB, and the captions.

    `frames` `[row]` is the number of valid frames of each row. `clips` `[row, 2]` has the numbers
    of the row's own clip and of the clip mixed in, or -1. `texts` `[row, 2]` has the same for
    captions.
    """

    features: Tensor
    frames: Tensor
    captions: list[str]
    clips: Tensor
    texts: Tensor

    def select_rows(self, rows: slice) -> "BatchFeatures":
        return BatchFeatures(
            self.features[rows],
            self.frames[rows],
            self.captions[rows],
            self.clips[rows],
            self.texts[rows],
        )


@torch.no_grad()
def compute_batch_features(
    batch: AudioTextBatch, pair: TrainableTowers, config: PretrainAugmentConfig, seed: int
) -> BatchFeatures:
    """Move a batch to the device of the model, augment it, and compute its features.

    The same seed gives the same result.
    """
    device = pair.device
    random = torch.Generator(device).manual_seed(seed)
    waveforms = batch.waveforms.to(device, non_blocking=True).float() / 2**15
    # Shorter ones end in silence.
    waveforms = F.pad(waveforms, (0, max(0, pair.shortest_clip - waveforms.shape[1])))
    lengths = batch.lengths.to(device, non_blocking=True).clamp(min=pair.shortest_clip)
    texts = torch.tensor([_number(caption) for caption in batch.captions], device=device)
    waveforms, lengths, partner = mix_clips(waveforms, lengths, config.mixup, random)
    features, frames = pair.features(waveforms, lengths)
    features, frames = augment(features, frames, config, random)
    return BatchFeatures(
        features=features,
        frames=frames,
        captions=_joined(batch.captions, partner.tolist()),
        clips=_with_partner(batch.clips.to(device), partner),
        texts=_with_partner(texts, partner),
    )


def mix_clips(
    waveforms: Tensor, lengths: Tensor, share: float, random: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Mix another clip of the batch into a share of the clips, within 6 dB of their level.

    The caption of a mixed clip joins the captions of the two clips. Takes and returns waveforms
    `[row, sample]` and lengths `[row]`. Also returns the index of the row mixed into each row
    `[row]`, -1 for none.
    """
    rows = len(waveforms)
    if not share or rows < 2:
        return waveforms, lengths, torch.full((rows,), _ALONE, device=waveforms.device)
    chosen = torch.rand(rows, generator=random, device=waveforms.device) < share
    shift = torch.randint(1, rows, (), generator=random, device=waveforms.device)
    other = (torch.arange(rows, device=waveforms.device) + shift) % rows
    level = torch.rand(rows, generator=random, device=waveforms.device)
    weight = (0.33 + 0.34 * level)[:, None]
    both = weight * waveforms + (1 - weight) * waveforms[other]
    partner = torch.where(chosen, other, torch.full_like(other, _ALONE))
    return (
        torch.where(chosen[:, None], both, waveforms),
        torch.where(chosen, torch.maximum(lengths, lengths[other]), lengths),
        partner,
    )


def false_negative_mask(
    clips: Tensor, texts: Tensor, all_clips: Tensor, all_texts: Tensor
) -> Tensor:
    """Mark pairs of rows that share a clip or a caption: bool `[row, batch]`."""
    return _shared(clips, all_clips) | _shared(texts, all_texts)


def _shared(numbers: Tensor, others: Tensor) -> Tensor:
    same = numbers[:, None, :, None] == others[None, :, None, :]
    return (same & (numbers != _ALONE)[:, None, :, None]).flatten(2).any(dim=2)


def _joined(captions: Sequence[str], partner: Sequence[int]) -> list[str]:
    return [
        caption if other == _ALONE else f"{caption} and {captions[other]}"
        for caption, other in zip(captions, partner, strict=True)
    ]


def _with_partner(numbers: Tensor, partner: Tensor) -> Tensor:
    others = torch.where(partner == _ALONE, partner, numbers[partner.clamp(min=0)])
    return torch.stack([numbers, others], dim=1)


def _number(caption: str) -> int:
    """The same for captions that differ in case and spaces alone, in every process."""
    normalised = " ".join(caption.lower().split())
    return int.from_bytes(blake2b(normalised.encode(), digest_size=7).digest(), "big")
