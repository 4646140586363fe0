"""Alignment and uniformity of embeddings (Wang and Isola 2020)."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from curation.storage import files as storage


def alignment(audio: Tensor, text: Tensor) -> float:
    """Mean squared distance of pairs of unit vectors `[pair, dim]` (Wang and Isola 2020)."""
    return float((audio - text).square().sum(dim=1).mean())


def uniformity(embeddings: Tensor) -> float:
    """Log of the mean of exp(-2 d^2) over all pairs of rows (Wang and Isola 2020); -4 at best."""
    return float(torch.pdist(embeddings.float()).square().mul(-2).exp().mean().log())


def print_metrics(title: str, columns: Sequence[str], rows: Mapping[str, Sequence[float]]) -> None:
    """Print figures, one named row each."""
    grid = Table(title=title, title_justify="left")
    for index, column in enumerate(("", *columns)):
        grid.add_column(column, justify="right" if index else "left")
    for name, figures in rows.items():
        grid.add_row(name, *(f"{figure:.3f}" for figure in figures))
    Console().print(grid)


def write_metrics(uri: str, metrics: Mapping[str, Any]) -> None:
    """Write metrics.json in one step."""
    storage.put(uri, (json.dumps(metrics, indent=2) + "\n").encode())
