"""Communication between the processes of a training.

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
    """Gather the rows `[row, ...]` of all processes, in the order of ranks: `[batch, ...]`.

    Processes may hold different numbers of rows. Backward: each rank receives the sum over ranks of
    the gradients of its own rows.
    """
    if get_world_size() == 1:
        return rows
    rows_of_all: Tensor = _Gather.apply(rows, _sizes(rows))
    return rows_of_all


def first_row_index(rows: Tensor) -> int:
    """Return the index of this process's first row among the gathered rows."""
    return sum(_sizes(rows)[: get_rank()]) if get_world_size() > 1 else 0


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Set every gradient to its mean over the processes, in one all-reduce for each dtype.

    If a process has no gradient for a parameter, its gradient counts as zero. If no process has a
    gradient for a parameter, the parameter keeps none. All processes thus exchange the same number
    of values, whatever their graphs. With different numbers NCCL would hang.

    Args:
        parameters: the same in all processes.
    """
    if get_world_size() == 1:
        return
    by_dtype: dict[torch.dtype, list[nn.Parameter]] = {}
    for parameter in parameters:
        by_dtype.setdefault(parameter.dtype, []).append(parameter)
    for of_dtype in by_dtype.values():
        present = of_dtype[0].new_tensor([each.grad is not None for each in of_dtype])
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in of_dtype]
        flat = torch.cat([*(gradient.reshape(-1) for gradient in gradients), present])
        dist.all_reduce(flat)
        # In how many processes each parameter has a gradient.
        counts = flat[-len(of_dtype) :].tolist()
        flat /= get_world_size()
        start = 0
        for parameter, gradient, count in zip(of_dtype, gradients, counts, strict=True):
            if count:
                gradient.copy_(flat[start : start + gradient.numel()].view_as(gradient))
                parameter.grad = gradient
            start += gradient.numel()


def barrier() -> None:
    """Wait until every process has called it."""
    if get_world_size() > 1:
        dist.barrier()


def broadcast_object(value: Any) -> Any:
    """Return the first process's value in every process. The value is any small plain object."""
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


def max_over_ranks(value: int) -> int:
    """The largest of the processes' numbers."""
    if get_world_size() == 1:
        return value
    largest = torch.tensor([value], device=_device())
    dist.all_reduce(largest, dist.ReduceOp.MAX)
    return int(largest)


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
