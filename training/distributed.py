"""The processes that train together: their number, and what they exchange.

Without a process group there is one process and nothing is exchanged.
"""

from collections.abc import Iterable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


def get_rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def get_world_size() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def gather_rows(rows: Tensor) -> Tensor:
    """The rows of all processes, in the order of their ranks: `[batch, ...]` of `[row, ...]`.

    Processes may hold different numbers of rows. Backward: each rank receives
    the sum over ranks of the gradients of its own rows.
    """
    if get_world_size() == 1:
        return rows
    rows_of_all: Tensor = _Gather.apply(rows, _sizes(rows))
    return rows_of_all


def first_row_index(rows: Tensor) -> int:
    """Where this process's rows begin among the gathered ones."""
    return sum(_sizes(rows)[: get_rank()]) if get_world_size() > 1 else 0


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Set every gradient to its mean over the processes, in one exchange a kind of number.

    Raises RuntimeError where a parameter has a gradient in one process and none in another: all
    must have run the same graph.
    """
    if get_world_size() == 1:
        return
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    for dtype in sorted({gradient.dtype for gradient in gradients}, key=str):
        of_dtype = [gradient for gradient in gradients if gradient.dtype == dtype]
        flat = torch.cat([gradient.reshape(-1) for gradient in of_dtype])
        dist.all_reduce(flat)
        flat /= get_world_size()
        start = 0
        for gradient in of_dtype:
            gradient.copy_(flat[start : start + gradient.numel()].view_as(gradient))
            start += gradient.numel()


def barrier() -> None:
    """Wait until every process has come here."""
    if get_world_size() > 1:
        dist.barrier()


def broadcast_object(value: Any) -> Any:
    """The first process's value, in every process; any small plain object."""
    if get_world_size() == 1:
        return value
    values = [value]
    dist.broadcast_object_list(values, 0)
    return values[0]


def sum_over_ranks(value: float) -> float:
    """The sum of a number over the processes."""
    if get_world_size() == 1:
        return value
    summed = torch.tensor([value], dtype=torch.float64, device=_device())
    dist.all_reduce(summed)
    return float(summed)


def _device() -> torch.device:
    return torch.device("cuda" if dist.get_backend() == "nccl" else "cpu")


def _sizes(rows: Tensor) -> list[int]:
    sizes = [torch.zeros(1, dtype=torch.long, device=rows.device) for _ in range(get_world_size())]
    dist.all_gather(sizes, torch.tensor([len(rows)], device=rows.device))
    return [int(size) for size in sizes]


class _Gather(torch.autograd.Function):
    """All-gather; backward is the sum over the processes, of which each takes its own rows."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, sizes: list[int]) -> Tensor:
        ctx.start, ctx.rows = sum(sizes[: get_rank()]), len(rows)
        most = max(sizes)
        padded = rows.new_zeros(most, *rows.shape[1:])
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in sizes]
        dist.all_gather(parts, padded)
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        summed = gradients[0].contiguous().clone()
        dist.all_reduce(summed)
        return summed[ctx.start : ctx.start + ctx.rows], None
