"""Implements the optimiser Muon, which orthogonalises the momentum of each matrix."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

# Jordan's quintic: pushes singular values towards 1 in few steps, not all the way.
_A, _B, _C = 3.4445, -4.7750, 2.0315
_STEPS = 5


class Muon(torch.optim.Optimizer):
    """The optimiser Muon (Jordan et al. 2024), for hidden matrices and convolution kernels.

    A kernel is treated as a matrix with one row for each output.

    A small CNN learns tags faster than with AdamW: after 8,000 clips its mean average precision is
    .57 instead of .45. torch's own Muon does not accept kernels.

    Args:
        params: tensors `[output, ...]` of two or more dimensions.
        lr: learning rate. The update has singular values of about 1, and 0.02 suits most layers.
        momentum: factor of Nesterov's momentum.
    """

    def __init__(self, params: Iterable[Tensor], lr: float = 0.02, momentum: float = 0.95) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take one step. Every parameter needs a gradient. `closure` is there for torch."""
        loss = None if closure is None else closure()
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[Tensor]] = defaultdict(list)
            for parameter in group["params"]:
                by_shape[parameter.shape].append(parameter)
            for parameters in by_shape.values():
                self._step(parameters, group)
        return loss

    def _step(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        updates = []
        for parameter in parameters:
            assert parameter.grad is not None
            state = self.state[parameter]
            mean = state.setdefault("momentum", torch.zeros_like(parameter))
            mean.lerp_(parameter.grad, 1 - group["momentum"])
            updates.append(parameter.grad.lerp(mean, group["momentum"]).flatten(1))
        orthogonal = orthogonalise(torch.stack(updates))
        outputs, inputs = orthogonal.shape[1:]
        rate = group["lr"] * max(1.0, outputs / inputs) ** 0.5
        for parameter, update in zip(parameters, orthogonal, strict=True):
            parameter.add_(update.view(parameter.shape), alpha=-rate)


def orthogonalise(matrices: Tensor) -> Tensor:
    """Approximately U V^T of each `[matrix, row, column]` = U S V^T, by Newton-Schulz iteration."""
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(_STEPS):
        gram = x @ x.mT
        x = _A * x + (_B * gram + _C * gram @ gram) @ x
    return x.mT if tall else x
