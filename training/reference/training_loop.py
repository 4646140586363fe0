"""The optimisation loop of the two reference trainers."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from curation import console
from training.config.reference import ReferenceScheduleConfig
from training.optim import build_reference_optimisers, one_cycle_factor

Item = TypeVar("Item")


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
    optimisers = build_reference_optimisers(model, schedule)
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
