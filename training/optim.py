"""The optimisation loop that both trainers share."""

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from curation import console
from training.config.pretrain import PretrainScheduleConfig
from training.config.reference import ReferenceScheduleConfig
from training.muon import Muon

Item = TypeVar("Item")

_BETAS = (0.9, 0.98)


def train_epochs(
    model: nn.Module,
    epochs: Sequence[Callable[[], Sequence[Item]]],
    loss_of: Callable[[Item], Tensor],
    schedule: ReferenceScheduleConfig,
    progress: bool,
) -> list[float]:
    """Warm up, anneal to nothing; the mean loss of each epoch.

    Args:
        epochs: for each epoch, what makes its batches; all epochs have as many.
        loss_of: the loss of one batch.

    Raises FloatingPointError when the loss is no longer finite.
    """
    # Denormal moments of rarely used words slow AdamW down several times.
    torch.set_flush_denormal(True)
    batches = epochs[0]()
    steps = len(batches) * len(epochs)
    optimisers = _optimisers(model, schedule)
    rates = [
        LambdaLR(optimiser, one_cycle_factor(steps, schedule.warmup_fraction))
        for optimiser in optimisers
    ]
    means: list[float] = []
    done = 0
    model.train()
    with console.show_progress("training", "steps", quiet=not progress) as update:
        for epoch, make in enumerate(epochs):
            losses = []
            for batch in batches if epoch == 0 else make():
                loss = loss_of(batch)
                if not torch.isfinite(loss):
                    raise FloatingPointError(
                        f"loss is {loss.item()} in epoch {epoch + 1}: lower the learning rate"
                    )
                model.zero_grad(set_to_none=True)
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), schedule.max_gradient_norm)
                for optimiser, rate in zip(optimisers, rates, strict=True):
                    optimiser.step()
                    rate.step()
                losses.append(loss.item())
                done += 1
                update(done, steps)
            means.append(sum(losses) / len(losses))
            if progress:
                console.stderr.print(f"epoch {epoch + 1} of {len(epochs)}: loss {means[-1]:.4f}")
    model.eval()
    return means


def _optimisers(model: nn.Module, schedule: ReferenceScheduleConfig) -> list[torch.optim.Optimizer]:
    """Muon for the kernels of convolutions between channels, AdamW for all else.

    On the layers of small transformers Muon costs more time than it saves.
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
    """AdamW, its decay for matrices alone; Muon beside it where the schedule gives it a rate."""
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
    """A linear rise, then half a cosine down to zero."""
    rise = max(1, round(warmup * steps))

    def factor(step: int) -> float:
        if step < rise:
            return (step + 1) / rise
        return (1 + math.cos(math.pi * min(1.0, (step - rise) / max(1, steps - rise)))) / 2

    return factor
