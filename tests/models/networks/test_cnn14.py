"""CNN14 has BLAT's size and arithmetic, and padding does not change its output."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from curation.models.networks.cnn14 import (
    Cnn14,
    Cnn14Config,
    fold_batch_norms,
    pool_max_plus_mean,
)

TINY = Cnn14Config(channels=(4, 6, 8), convs_per_block=2, embed_dim=10, mels=16)


def tiny() -> Cnn14:
    """A network with running statistics unlike the initial ones."""
    torch.manual_seed(0)
    model = Cnn14(TINY)
    for _ in range(3):
        model(torch.randn(4, 40, 16) * 5 - 20, torch.full((4,), 40))
    return model.eval()


def naive(model: Cnn14, features: torch.Tensor) -> torch.Tensor:
    """PANNs' forward on one clip, op by op, with pooling 2x2 in all blocks but the last."""
    x = model.bn0(features.T[None, :, :, None]).permute(0, 3, 2, 1)
    for index, block in enumerate(model.blocks):
        assert isinstance(block.convs, nn.ModuleList)
        assert isinstance(block.norms, nn.ModuleList)
        for conv, norm in zip(block.convs, block.norms, strict=True):
            x = F.relu(norm(F.conv2d(x, conv.weight, padding=1)))
        x = F.avg_pool2d(x, 2 if index < len(model.blocks) - 1 else 1)
    x = x.mean(dim=3)
    pooled = x.max(dim=2).values + x.mean(dim=2)
    assert model.fc1 is not None
    return F.relu(model.fc1(pooled))[0]


def test_default_is_blats() -> None:
    with torch.device("meta"):
        model = Cnn14(Cnn14Config())
    # PANNs' published 80,753,615 less the 527-class layer (2048 x 527 + 527).
    assert sum(p.numel() for p in model.parameters()) == 80_753_615 - 1_079_823
    assert len(model.blocks) == 6
    assert model.config.frame_stride == 32
    assert (model.block_dropout.p, model.dropout.p) == (0.2, 0.5)


def test_equals_naive_forward() -> None:
    model = tiny()
    features = torch.randn(37, 16) * 5 - 20
    with torch.no_grad():
        got = model(features[None], torch.tensor([37])).embedding[0]
        torch.testing.assert_close(got, naive(model, features))


@pytest.mark.parametrize("length", [4, 5, 18, 31, 39])
def test_padding_does_not_change_a_clip(length: int) -> None:
    model = tiny()
    clip = torch.randn(length, 16) * 5 - 20
    batch = torch.full((2, 40, 16), 55.0)
    batch[0, :length] = clip
    batch[1] = torch.randn(40, 16)
    with torch.no_grad():
        alone = model(clip[None], torch.tensor([length]))
        together = model(batch, torch.tensor([length, 40]))
    frames = int(alone.lengths[0])
    assert int(together.lengths[0]) == frames == length // 4
    torch.testing.assert_close(together.frames[0, :frames], alone.frames[0])
    torch.testing.assert_close(together.embedding[0], alone.embedding[0])
    assert not together.frames[0, frames:].any()


def test_frames_only_without_embed_dim() -> None:
    model = Cnn14(Cnn14Config(channels=(4, 4), convs_per_block=1, embed_dim=None, mels=16)).eval()
    output = model(torch.randn(2, 9, 16), torch.tensor([9, 9]))
    assert output.embedding is None
    assert output.frames.shape == (2, 4, 4)


def test_max_and_mean_ignore_padding() -> None:
    frames = torch.tensor([[[1.0], [-3.0], [9.0]]])
    assert pool_max_plus_mean(frames, torch.tensor([2])).tolist() == [[0.0]]


def test_too_few_frames_are_refused() -> None:
    with pytest.raises(ValueError, match="3 frames is too short: 4 become one"):
        tiny()(torch.randn(1, 8, 16), torch.tensor([3]))


def test_folded_batch_norms_leave_the_outputs_as_they_are() -> None:
    model, folded = tiny(), tiny()
    fold_batch_norms(nn.Sequential(folded))
    features, lengths = torch.randn(3, 40, 16) * 5 - 20, torch.tensor([40, 23, 6])
    with torch.no_grad():
        expected, got = model(features, lengths), folded(features, lengths)
    torch.testing.assert_close(got.frames, expected.frames)
    torch.testing.assert_close(got.embedding, expected.embedding)
    assert not any("norms" in name for name in folded.state_dict())


def test_on_a_cpu_folded_convolutions_compute_in_channels_last() -> None:
    model = tiny()
    fold_batch_norms(model)
    for block in model.blocks:
        assert isinstance(block.convs, nn.ModuleList)
        for conv in block.convs:
            x = torch.randn(2, conv.weight.shape[1], 10, 8)
            assert conv(x).is_contiguous(memory_format=torch.channels_last)
