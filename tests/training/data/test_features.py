"""Batch features: a mixed clip fits both captions; same clips and captions are no negatives."""

import numpy as np
import pytest
import torch

from curation.models.networks.cnn14 import Cnn14Config
from curation.models.networks.dual_encoder import DualEncoder, DualEncoderConfig
from curation.models.networks.log_mel_config import LogMelConfig
from training.config.augmentation import PretrainAugmentConfig
from training.data.batch import AudioTextBatch
from training.data.features import compute_batch_features, false_negative_mask, mix_clips

OFF = PretrainAugmentConfig(gain_db=0, equalizer_db=0)
CAPTIONS = ["a dog barks", "rain", "Rain ", "a bell"]
FRONTEND = LogMelConfig(
    sample_rate_hz=8000, n_fft=256, window=256, hop=128, mels=16, high_hz=4000.0
)


@pytest.fixture(scope="module")
def pair() -> DualEncoder:
    return DualEncoder(
        DualEncoderConfig(
            frontend=FRONTEND,
            cnn=Cnn14Config(channels=(4, 8), convs_per_block=1, mels=16, embed_dim=8),
            text={
                "model_type": "bert",
                "vocab_size": 8,
                "hidden_size": 8,
                "num_hidden_layers": 1,
                "num_attention_heads": 2,
                "intermediate_size": 8,
            },
        )
    )


def batch(samples: int = 4000) -> AudioTextBatch:
    rng = np.random.default_rng(0)
    return AudioTextBatch(
        waveforms=torch.from_numpy(rng.integers(-(2**15), 2**15, (4, samples), dtype=np.int16)),
        lengths=torch.tensor([samples, samples // 2, samples, samples]),
        captions=CAPTIONS,
        clips=torch.tensor([5, 3, 9, 1]),
        epoch=0,
        index=0,
        start=0,
        global_rows=4,
        replaced=[],
    )


def test_unchanged_sound_is_the_front_ends(pair: DualEncoder) -> None:
    given = batch()
    features = compute_batch_features(given, pair, OFF, seed=1)
    expected, frames = pair.features(given.waveforms.float() / 2**15, given.lengths)
    assert torch.equal(features.features, expected)
    assert torch.equal(features.frames, frames)
    assert features.captions == CAPTIONS


def test_the_seed_alone_decides_the_features(pair: DualEncoder) -> None:
    config = PretrainAugmentConfig(mixup=0.5, noise=1.0, mel_mask=4)
    one, same, other = (compute_batch_features(batch(), pair, config, seed) for seed in (1, 1, 2))
    assert torch.equal(one.features, same.features)
    assert not torch.equal(one.features, other.features)


def test_same_clips_and_same_captions_are_false_negatives(pair: DualEncoder) -> None:
    features = compute_batch_features(batch(), pair, OFF, seed=1)
    found = false_negative_mask(features.clips, features.texts, features.clips, features.texts)
    expected = torch.eye(4, dtype=torch.bool)
    expected[1, 2] = expected[2, 1] = True  # "rain" and "Rain "
    assert torch.equal(found, expected)
    twice = torch.tensor([[5, -1], [3, -1], [5, -1], [1, -1]])
    assert false_negative_mask(twice, features.texts, twice, features.texts)[0, 2]


def test_a_mixed_clip_holds_both_sounds_and_both_captions(pair: DualEncoder) -> None:
    features = compute_batch_features(
        batch(), pair, PretrainAugmentConfig(gain_db=0, equalizer_db=0, mixup=1.0), seed=1
    )
    for row in range(4):
        own, other = features.clips[row].tolist()
        partner = [5, 3, 9, 1].index(other)
        assert partner != row and own == [5, 3, 9, 1][row]
        assert features.captions[row] == f"{CAPTIONS[row]} and {CAPTIONS[partner]}"
        # It is no negative of what was mixed in.
        assert false_negative_mask(features.clips, features.texts, features.clips, features.texts)[
            row, partner
        ]


def test_mixing_adds_waveforms_within_6_db() -> None:
    waveforms = torch.eye(3, 30)
    lengths = torch.tensor([10, 20, 30])
    random = torch.Generator().manual_seed(0)
    both, longer, partner = mix_clips(waveforms, lengths, 1.0, random)
    for row in range(3):
        other = int(partner[row])
        levels = both[row][[row, other]]
        assert levels.sum() == pytest.approx(1.0)
        assert levels.max() / levels.min() < 2.1
        assert longer[row] == max(lengths[row], lengths[other])


def test_a_clip_shorter_than_a_frame_is_embedded(pair: DualEncoder) -> None:
    features = compute_batch_features(batch(samples=20), pair, OFF, seed=1)
    assert torch.isfinite(pair.encode_features(features.features, features.frames)).all()
