"""Transformer layers with cached decoding; the captions of a clip share the clip's memory."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class KeyValue(NamedTuple):
    """Projected keys and values `[batch, head, position, width]`."""

    keys: Tensor
    values: Tensor


def sinusoidal_positions(positions: Tensor, dim: int) -> Tensor:
    """Compute the position encodings of Vaswani et al. 2017, `[*positions, dim]`."""
    scale = torch.arange(0, dim, 2, device=positions.device) * (-math.log(10_000.0) / dim)
    angles = positions[..., None] * scale.exp()
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


class Attention(nn.Module):
    """Multi-head attention whose keys and values can be projected once and used many times."""

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.query = nn.Linear(dim, dim)
        self.key_value = nn.Linear(dim, 2 * dim)
        self.output = nn.Linear(dim, dim)

    def project(self, x: Tensor) -> KeyValue:
        """Compute the keys and values of `[batch, position, dim]`."""
        keys, values = self.key_value(x).chunk(2, dim=-1)
        return KeyValue(self._split(keys), self._split(values))

    def forward(
        self, x: Tensor, memory: KeyValue, mask: Tensor | None = None, causal: bool = False
    ) -> Tensor:
        """Attend from queries `[batch, query, dim]`; `mask` is True for visible positions."""
        attended = F.scaled_dot_product_attention(
            self._split(self.query(x)),
            memory.keys,
            memory.values,
            attn_mask=mask,
            dropout_p=self.dropout if self.training else 0.0,
            is_causal=causal,
        )
        return self.output(attended.transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class EncoderLayer(nn.Module):
    """Self-attention and feed-forward layers, with a norm before each of them."""

    def __init__(self, dim: int, heads: int, feed_forward: int, dropout: float) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(dim)
        self.attention = Attention(dim, heads, dropout)
        self.feed_forward = FeedForward(dim, feed_forward, dropout)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """Transform `[batch, position, dim]`; `valid [batch, position]` is True where to attend."""
        normed = self.attention_norm(x)
        memory = self.attention.project(normed)
        x = x + self.dropout(self.attention(normed, memory, valid[:, None, None, :]))
        return x + self.feed_forward(x)


class DecoderLayer(nn.Module):
    """Causal self-attention, attention to the memory, and feed-forward, with a norm before each."""

    def __init__(self, dim: int, heads: int, feed_forward: int, dropout: float) -> None:
        super().__init__()
        self.self_norm = nn.LayerNorm(dim)
        self.self_attention = Attention(dim, heads, dropout)
        self.memory_norm = nn.LayerNorm(dim)
        self.memory_attention = Attention(dim, heads, dropout)
        self.feed_forward = FeedForward(dim, feed_forward, dropout)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, memory: KeyValue, memory_mask: Tensor) -> Tensor:
        """Transform whole captions `[caption, position, dim]`, with one memory per caption."""
        normed = self.self_norm(x)
        past = self.self_attention.project(normed)
        x = x + self.dropout(self.self_attention(normed, past, causal=True))
        x = x + self.dropout(self.memory_attention(self.memory_norm(x), memory, memory_mask))
        return x + self.feed_forward(x)

    def project(self, memory: Tensor) -> KeyValue:
        """Compute the keys and values of the memory `[clip, position, dim]`."""
        return self.memory_attention.project(memory)

    def step(
        self,
        x: Tensor,
        past: KeyValue,
        memory: KeyValue,
        mask: Tensor,
    ) -> Tensor:
        """Transform the newest position of every caption of every clip.

        Args:
            x: `[clip, caption, dim]`.
            past: keys and values `[clip * caption, head, position, width]`. The last position is
                the newest one; this call writes its keys and values.
            memory: keys and values of one memory per clip, shared by the clip's captions.
            mask: True for positions of the memory that may be attended to.
        """
        clips, captions, dim = x.shape
        normed = self.self_norm(x).view(clips * captions, 1, dim)
        newest = self.self_attention.project(normed)
        past.keys[:, :, -1:] = newest.keys
        past.values[:, :, -1:] = newest.values
        x = x + self.self_attention(normed, past).view(clips, captions, dim)
        x = x + self.memory_attention(self.memory_norm(x), memory, mask)
        return x + self.feed_forward(x)


class FeedForward(nn.Module):
    """A norm, a linear layer, GELU, and a linear layer."""

    def __init__(self, dim: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.inner = nn.Linear(dim, hidden)
        self.outer = nn.Linear(hidden, dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.outer(self.dropout(F.gelu(self.inner(self.norm(x))))))
