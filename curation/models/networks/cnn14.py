"""CNN14, the audio encoder of PANNs and BLAT, in any size."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.utils.checkpoint import checkpoint


@dataclass(frozen=True)
class Cnn14Config:
    """The size of a CNN14; the defaults are those of BLAT (79.7 M parameters).

    If `embed_dim` is None, the last linear layer is omitted, and the network returns only frames.
    """

    channels: tuple[int, ...] = (64, 128, 256, 512, 1024, 2048)
    convs_per_block: int = 2
    embed_dim: int | None = 2048
    mels: int = 64
    block_dropout: float = 0.2
    dropout: float = 0.5

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Cnn14Config":
        """Read the size from an entry of a JSON file, in which tuples are lists."""
        config = cls(**values)
        return replace(config, channels=tuple(config.channels))

    @property
    def frame_stride(self) -> int:
        """Number of front-end frames per output frame."""
        return 2 ** (len(self.channels) - 1)


class Cnn14Output(NamedTuple):
    """The output of a CNN14.

    `frames` is `[batch, frame, channel]`, of which `lengths [batch]` frames are valid; the other
    frames are zero. `embedding` is `[batch, embed_dim]`, or None if the configuration has no
    `embed_dim`.
    """

    frames: Tensor
    lengths: Tensor
    embedding: Tensor | None


class Cnn14(nn.Module):
    """The CNN14 of Kong et al. 2020 (PANNs), with length-masked pooling as in wsntxxn/BLAT.

    The layers are batch norm over mel bands, blocks of 3x3 convolutions, mean over frequency, max
    plus mean over the valid time, and one linear layer. Frames beyond a clip's end are set to the
    zeros that the convolutions would see there. So in evaluation mode padding changes a clip only
    within float tolerance. In training mode, batch norm includes padded frames: batch clips of
    similar length.

    Attributes:
        checkpointing: in training, recompute the blocks' activations instead of storing them.
    """

    def __init__(self, config: Cnn14Config) -> None:
        super().__init__()
        self.config = config
        self.checkpointing = False
        self.bn0 = nn.BatchNorm2d(config.mels)
        widths = (1, *config.channels)
        last = len(config.channels) - 1
        self.blocks = nn.ModuleList(
            _Block(inputs, outputs, config.convs_per_block, pool=1 if index == last else 2)
            for index, (inputs, outputs) in enumerate(pairwise(widths))
        )
        self.block_dropout = nn.Dropout(config.block_dropout)
        self.dropout = nn.Dropout(config.dropout)
        self.fc1 = nn.Linear(config.channels[-1], config.embed_dim) if config.embed_dim else None
        # Channels last, inputs and weights, is two to three times as fast on CPUs.
        for weight in self.blocks.parameters():
            if weight.ndim == 4:
                weight.data = weight.data.contiguous(memory_format=torch.channels_last)

    def forward(self, features: Tensor, lengths: Tensor) -> Cnn14Output:
        """Encode log-mel features `[batch, frame, mel]`, of which `lengths [batch]` are valid.

        Raises ValueError if a clip has fewer frames than `config.frame_stride`.
        """
        if int(lengths.min()) < self.config.frame_stride:
            raise ValueError(
                f"a clip of {int(lengths.min())} frames is too short: "
                f"{self.config.frame_stride} become one"
            )
        x = self.bn0(features.transpose(1, 2)[:, :, :, None]).permute(0, 3, 2, 1)
        x = _masked(x.contiguous(memory_format=torch.channels_last), lengths)
        for block in self.blocks:
            if self.checkpointing and self.training:
                x, lengths = checkpoint(
                    block, x, lengths, use_reentrant=False, context_fn=partial(_contexts, block)
                )
            else:
                x, lengths = block(x, lengths)
            x = self.block_dropout(x)
        frames = x.mean(dim=3).transpose(1, 2)
        if self.fc1 is None:
            return Cnn14Output(frames, lengths, None)
        embedding = self.dropout(pool_max_plus_mean(frames, lengths))
        return Cnn14Output(frames, lengths, torch.relu(self.fc1(embedding)))


class _Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, convs: int, pool: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv2d(inputs if index == 0 else outputs, outputs, 3, padding=1, bias=False)
            for index in range(convs)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(outputs) for _ in range(convs))
        self.pool = pool

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        for index, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            if index:
                x = _masked(x, lengths)
            x = torch.relu_(norm(conv(x)))
        if self.pool > 1:
            x = nn.functional.avg_pool2d(x, self.pool)
            lengths = lengths // self.pool
        return _masked(x, lengths), lengths

    def fold_norms(self) -> None:
        for index, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            folded = fuse_conv_bn_eval(cast(nn.Conv2d, conv), cast(nn.BatchNorm2d, norm))
            if folded.weight.device.type == "cpu":
                folded.weight.data = _channels_last(folded.weight.data)
            self.convs[index] = folded
        self.norms = nn.ModuleList(nn.Identity() for _ in self.convs)


def fold_batch_norms(model: nn.Module) -> None:
    """Fold the batch norms of a model's CNN14s into their convolutions, for inference only.

    The model is changed in place and must be in evaluation mode. Each convolution gets the scale
    and shift of its norm, and the norm is removed. Outputs change in their last bits. On a CPU a
    clip takes half the time.
    """
    for block in (each for each in model.modules() if isinstance(each, _Block)):
        block.fold_norms()


def _contexts(
    block: nn.Module,
) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """The contexts of a checkpointed block's first and second pass."""
    return nullcontext(), _not_counted(block)


@contextmanager
def _not_counted(block: nn.Module) -> Iterator[None]:
    """Batch norm sees the same batch twice, and must enter it into its statistics once."""
    norms = [module for module in block.modules() if isinstance(module, nn.BatchNorm2d)]
    kept = [(norm, norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, momentum, batches in kept:
            norm.momentum, norm.num_batches_tracked = momentum, batches


def _channels_last(weight: Tensor) -> Tensor:
    """A weight `[output, input, height, width]` in channels last, of one input channel too.

    Torch's `contiguous` leaves that as it is, since it is contiguous in both layouts; a
    convolution goes by the strides, and computes the whole block in the slower layout.
    """
    outputs, inputs, height, width = weight.shape
    strides = (inputs * height * width, 1, width * inputs, inputs)
    return torch.empty_strided(weight.shape, strides, dtype=weight.dtype).copy_(weight)


def valid_frame_mask(lengths: Tensor, frames: int) -> Tensor:
    """Return a mask `[batch, frames]` that is True for frames within a clip's length."""
    return torch.arange(frames, device=lengths.device) < lengths[:, None]


def pool_max_plus_mean(frames: Tensor, lengths: Tensor) -> Tensor:
    """Pool `[batch, frame, channel]` to `[batch, channel]`: max plus mean over the valid frames."""
    valid = valid_frame_mask(lengths, frames.shape[1])[:, :, None]
    mean = (frames * valid).sum(dim=1) / lengths[:, None]
    return frames.masked_fill(~valid, -torch.inf).amax(dim=1) + mean


def _masked(x: Tensor, lengths: Tensor) -> Tensor:
    """Zero `[batch, channel, frame, mel]` beyond each clip's frames."""
    if int(lengths.min()) >= x.shape[2]:
        return x
    return x * valid_frame_mask(lengths, x.shape[2])[:, None, :, None].to(x.dtype)
