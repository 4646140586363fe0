"""Augmentations change what they say they change, and nothing when they are off."""

import numpy as np
import torch

from training.config.augmentation import AugmentConfig
from training.data import augmentation
from training.reference.batches import batch_by_length, crop_to_shortest, pad_features

OFF = AugmentConfig(
    gain_db=0, equalizer_db=0, noise=0, silence=0, mel_shift=0, mel_mask=0, frame_mask=0
)


def features() -> torch.Tensor:
    return torch.randn(3, 20, 16, generator=torch.Generator().manual_seed(0)) * 10 - 40


def random() -> torch.Generator:
    return torch.Generator().manual_seed(1)


def test_off_is_identity() -> None:
    changed, lengths = augmentation.augment(features(), torch.full((3,), 20), OFF, random())
    torch.testing.assert_close(changed, features())
    assert lengths.tolist() == [20, 20, 20]


def test_same_seed_same_changes() -> None:
    settings = AugmentConfig(silence=1, noise=1)
    first, _ = augmentation.augment(features(), torch.full((3,), 20), settings, random())
    second, _ = augmentation.augment(features(), torch.full((3,), 20), settings, random())
    assert torch.equal(first, second)


def test_noise_adds_power_and_never_takes_it() -> None:
    noisy = augmentation.add_noise(features(), 1.0, random())
    assert (noisy - features()).min() > -1e-3
    assert (noisy - features()).max() > 1


def test_equalizer_is_smooth_and_the_same_at_all_times() -> None:
    change = augmentation.equalize(features(), 3.0, random()) - features()
    torch.testing.assert_close(change, change[:, :1].expand_as(change), atol=1e-4, rtol=0)
    assert change.diff(dim=2).abs().max() < change.abs().max()


def test_shift_moves_bands() -> None:
    moved = augmentation.shift_mels(features(), 2, random())
    for clip, original in zip(moved, features(), strict=True):
        shifts = [
            s for s in range(-2, 3) if torch.equal(clip[:, 4:12], original[:, 4 - s : 12 - s])
        ]
        assert len(shifts) == 1


def test_hidden_stripes_get_the_mean() -> None:
    hidden = augmentation.hide(features(), 4, 4, random())
    changed = hidden != features()
    means = features().mean(dim=(1, 2), keepdim=True).expand_as(hidden)
    assert changed.any()
    torch.testing.assert_close(hidden[changed], means[changed])


def test_silence_keeps_the_clip_whole() -> None:
    lengthened, lengths = augmentation.add_silence(features(), torch.full((3,), 20), random())
    assert lengths.unique().tolist() == [lengthened.shape[1]]
    for clip, original in zip(lengthened, features(), strict=True):
        audible = clip[clip[:, 0] != -100.0]
        torch.testing.assert_close(audible, original)


def test_batches_are_full_of_like_length_and_no_clip_comes_twice() -> None:
    lengths = np.random.default_rng(0).integers(10, 100, size=70).tolist()
    batches = batch_by_length(lengths, 8, np.random.default_rng(1))
    rows = [row for batch in batches for row in batch]
    assert {len(batch) for batch in batches} == {8}
    assert len(set(rows)) == len(rows) == 64
    spread = [max(lengths[r] for r in b) - min(lengths[r] for r in b) for b in batches]
    assert np.mean(spread) < 20
    assert batches != batch_by_length(lengths, 8, np.random.default_rng(2))


def test_cropped_and_padded() -> None:
    clips = [torch.arange(6.0)[:, None].half(), torch.arange(4.0)[:, None].half()]
    batch, lengths = crop_to_shortest(clips, np.random.default_rng(0))
    assert batch.shape == (2, 4, 1)
    assert lengths.tolist() == [4, 4]
    assert batch[0].diff(dim=0).eq(1).all()
    batch, lengths = pad_features(clips)
    assert batch.shape == (2, 6, 1)
    assert lengths.tolist() == [6, 4]
