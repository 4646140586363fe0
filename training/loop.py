"""The optimisation loop that both trainers share."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn
from tqdm import tqdm

from training.config import ScheduleConfig

Item = TypeVar("Item")


def optimise(
    model: nn.Module,
    epochs: Sequence[Callable[[], Sequence[Item]]],
    loss_of: Callable[[Item], Tensor],
    schedule: ScheduleConfig,
    progress: bool,
) -> list[float]:
    """AdamW under one cycle; the mean loss of each epoch.

    Args:
        epochs: for each epoch, what makes its batches; all epochs have as many.
        loss_of: the loss of one batch.

    Raises FloatingPointError when the loss is no longer finite.
    """
    # Denormal moments of rarely used words slow AdamW down several times.
    torch.set_flush_denormal(True)
    batches = epochs[0]()
    steps = len(batches) * len(epochs)
    optimiser = torch.optim.AdamW(
        _parameter_groups(model, schedule.weight_decay),
        lr=schedule.learning_rate,
        betas=(0.9, 0.98),
        fused=True,
    )
    cycle = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, schedule.learning_rate, total_steps=steps + 1, pct_start=schedule.warmup
    )
    bar = tqdm(total=steps, desc="training", unit="step", disable=not progress)
    means = []
    for epoch, make in enumerate(epochs):
        losses = []
        model.train()
        for batch in batches if epoch == 0 else make():
            loss = loss_of(batch)
            if not torch.isfinite(loss):
                raise FloatingPointError(
                    f"loss is {loss.item()} in epoch {epoch + 1}: lower the learning rate"
                )
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), schedule.clip_norm)
            optimiser.step()
            cycle.step()
            losses.append(loss.item())
            bar.update()
        means.append(sum(losses) / len(losses))
        bar.set_postfix(loss=f"{means[-1]:.3f}")
        if progress:
            tqdm.write(f"epoch {epoch + 1} of {len(epochs)}: loss {means[-1]:.4f}")
    bar.close()
    model.eval()
    return means


def _parameter_groups(model: nn.Module, decay: float) -> list[dict[str, object]]:
    """Weight decay on matrices and kernels alone."""
    decayed = [p for p in model.parameters() if p.ndim > 1]
    free = [p for p in model.parameters() if p.ndim <= 1]
    return [{"params": decayed, "weight_decay": decay}, {"params": free, "weight_decay": 0.0}]
