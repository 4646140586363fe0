"""Measures alignment and uniformity of embeddings (Wang and Isola 2020)."""

import torch
from torch import Tensor


def alignment(audio: Tensor, text: Tensor) -> float:
    """Mean squared distance of pairs of unit vectors `[pair, dim]` (Wang and Isola 2020)."""
    return float((audio - text).square().sum(dim=1).mean())


def uniformity(embeddings: Tensor) -> float:
    """Log of the mean of exp(-2 d^2) over all pairs of rows (Wang and Isola 2020); at best -4."""
    return float(torch.pdist(embeddings.float()).square().mul(-2).exp().mean().log())
