"""Does what the two reference trainers share: corpora, loop over epochs, evaluation.

The pre-training on tables has its own loop, in `training.pretrain`.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from curation import console
from curation.errors import RunError
from curation.models.caption_tokenizer import CaptionTokenizer
from training.config.networks import FrontendConfig
from training.config.reference import CorpusConfig, ReferenceScheduleConfig
from training.optim import build_reference_optimisers, one_cycle_factor
from training.reference.batches import batch_by_length
from training.reference.corpus import FeatureCorpus, render_corpora

Model = TypeVar("Model")


class ReferenceConfig(Protocol):
    """The sections of the configuration that the two reference trainers share."""

    @property
    def corpus(self) -> CorpusConfig: ...

    @property
    def frontend(self) -> FrontendConfig: ...


Config = TypeVar("Config", bound=ReferenceConfig)
Trained = tuple[Model, CaptionTokenizer, list[float]]


def train_reference_model(
    config: Config,
    seed: int,
    train: Callable[[Config, FeatureCorpus, int, bool], Trained[Model]],
    evaluate: Callable[[Model, CaptionTokenizer, FeatureCorpus], dict[str, Any]],
    progress: bool = True,
) -> tuple[Model, CaptionTokenizer, dict[str, Any]]:
    """Render the corpora, train, evaluate.

    Args:
        train: trains on a corpus; returns the model, its tokenizer and the mean loss of each epoch.
        evaluate: the metrics on held-out clips.

    Returns the model, its tokenizer and its metrics.
    """
    corpus, held_out = render_corpora(config.corpus, config.frontend.log_mel(), seed, progress)
    model, tokenizer, losses = train(config, corpus, seed, progress)
    return model, tokenizer, {"losses": losses, **evaluate(model, tokenizer, held_out)}


def train_epochs(
    model: nn.Module,
    clip_frames: Sequence[int],
    compute_loss: Callable[[list[int], np.random.Generator], Tensor],
    schedule: ReferenceScheduleConfig,
    seed: int,
    progress: bool,
) -> list[float]:
    """Train for one cycle of the learning rates. Returns the mean loss of each epoch.

    Clips of similar length share a batch; seed and epoch determine their order.

    Args:
        model: holds the parameters that are trained.
        clip_frames: frames of each clip of the corpus.
        compute_loss: the loss of the clips at some rows; it draws from the given generator.
        seed: seed of the order of the clips, and of the generator for `compute_loss`.

    Raises RunError if the loss or its gradient is not finite, before the step is applied.
    """
    # Denormal moments of rarely used words slow AdamW down several times.
    torch.set_flush_denormal(True)
    steps = len(clip_frames) // schedule.batch_size * schedule.epochs
    optimisers = build_reference_optimisers(model, schedule)
    rates = [
        LambdaLR(optimiser, one_cycle_factor(steps, schedule.warmup_fraction))
        for optimiser in optimisers
    ]
    means: list[float] = []
    done = 0
    model.train()
    with console.show_progress("training", "steps", quiet=not progress) as update:
        for epoch in range(schedule.epochs):
            losses = []
            rng = np.random.default_rng((seed, epoch))
            for rows in batch_by_length(clip_frames, schedule.batch_size, rng):
                loss = compute_loss(rows, rng)
                model.zero_grad(set_to_none=True)
                loss.backward()
                norm = nn.utils.clip_grad_norm_(model.parameters(), schedule.max_gradient_norm)
                if not (torch.isfinite(loss) and torch.isfinite(norm)):
                    raise RunError(
                        f"epoch {epoch + 1}: the loss is {loss.item()} and the norm of its "
                        f"gradient {norm.item()}: lower schedule.learning_rate"
                    )
                for optimiser, rate in zip(optimisers, rates, strict=True):
                    optimiser.step()
                    rate.step()
                losses.append(loss.item())
                done += 1
                update(done, steps)
            means.append(sum(losses) / len(losses))
            if progress:
                console.stderr.print(
                    f"epoch {epoch + 1} of {schedule.epochs}: loss {means[-1]:.4f}"
                )
    model.eval()
    return means
