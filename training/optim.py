"""Builds the optimisers (AdamW, Muon) and the learning-rate schedule of the trainers."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from training.config.pretrain import PretrainScheduleConfig
from training.config.reference import ReferenceScheduleConfig
from training.muon import Muon

_BETAS = (0.9, 0.98)


def build_reference_optimisers(
    model: nn.Module, schedule: ReferenceScheduleConfig
) -> list[torch.optim.Optimizer]:
    """Muon for convolution kernels between channels, AdamW for all other parameters.

    The layers of small transformers use AdamW, because Muon costs more time there than it saves.
    """
    kernels: list[Tensor] = []
    others: list[Tensor] = []
    for parameter in model.parameters():
        (kernels if _is_kernel(parameter) else others).append(parameter)
    adamw = torch.optim.AdamW(
        others,
        lr=schedule.learning_rate,
        betas=_BETAS,
        weight_decay=schedule.weight_decay,
        fused=True,
    )
    return [adamw, Muon(kernels, lr=schedule.muon_learning_rate)]


def build_pretrain_optimisers(
    model: nn.Module, schedule: PretrainScheduleConfig
) -> list[torch.optim.Optimizer]:
    """Build AdamW with weight decay for matrices only, and Muon if the schedule has its rate."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    kernels = [p for p in trained if schedule.muon_learning_rate and _is_kernel(p)]
    taken = {id(parameter) for parameter in kernels}
    others = [parameter for parameter in trained if id(parameter) not in taken]
    optimisers: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(
            [
                {
                    "params": [p for p in others if p.ndim > 1],
                    "weight_decay": schedule.weight_decay,
                },
                {"params": [p for p in others if p.ndim <= 1], "weight_decay": 0.0},
            ],
            lr=schedule.learning_rate,
            betas=_BETAS,
            fused=True,
        )
    ]
    if schedule.muon_learning_rate and kernels:
        optimisers.append(Muon(kernels, lr=schedule.muon_learning_rate))
    return optimisers


def _is_kernel(parameter: Tensor) -> bool:
    """Of a convolution between channels."""
    return parameter.ndim == 4 and parameter.shape[1] > 1


def one_cycle_factor(steps: int, warmup: float) -> Callable[[int], float]:
    """Factor of the learning rate at a step: a linear rise, followed by a half cosine to zero."""
    rise = max(1, round(warmup * steps))

    def factor(step: int) -> float:
        if step < rise:
            return (step + 1) / rise
        return (1 + math.cos(math.pi * min(1.0, (step - rise) / max(1, steps - rise)))) / 2

    return factor
