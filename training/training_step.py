"""Takes one step of a pre-training: loss, gradient, and the reported figures."""

import math
import time
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from curation import console
from curation.errors import RunError
from training import (
    distributed,
    grad_cache,
    losses,
)
from training.config.pretrain import PretrainConfig
from training.data.batch import AudioTextBatch
from training.data.features import BatchFeatures, false_negative_mask
from training.metrics import alignment, uniformity
from training.objective import ContrastiveObjective

MOST_DATA_WAIT = 0.1


class NonFiniteError(RunError):
    """Raised if a loss or a gradient is not finite. The same training would fail again."""


@dataclass
class StepResult:
    """The outcome of one step."""

    loss: Tensor
    gradient_norm: Tensor
    audio: Tensor
    text: Tensor
    false_negatives: Tensor


def run_step(
    objective: ContrastiveObjective,
    batch: BatchFeatures,
    config: PretrainConfig,
    trained: list[nn.Parameter],
) -> StepResult:
    objective.zero_grad(set_to_none=True)
    false_negatives = false_negative_mask(
        batch.clips,
        batch.texts,
        distributed.gather_rows(batch.clips),
        distributed.gather_rows(batch.texts),
    )
    rows = len(batch.captions)
    size = config.schedule.micro_batch_size or rows
    loss, audio, text = grad_cache.grad_cache_backward(
        objective,
        [batch.select_rows(slice(start, start + size)) for start in range(0, rows, size)],
        objective.embed,
        lambda audio, text: objective.compute_loss(audio, text, false_negatives),
    )
    distributed.average_gradients(trained)
    norm = nn.utils.clip_grad_norm_(trained, config.schedule.max_gradient_norm)
    return StepResult(loss, norm, audio, text, false_negatives)


def check_step_finite(result: StepResult, step: int) -> None:
    """Check a step. Raises NonFiniteError if its loss or gradient is not finite.

    The gradient is the same in all processes, so all of them raise at the same step.
    """
    # One transfer from the device for both.
    loss, norm = torch.stack([result.loss.float(), result.gradient_norm.float()]).tolist()
    if not (math.isfinite(loss) and math.isfinite(norm)):
        raise NonFiniteError(
            f"step {step}: the loss is {loss} and the norm of its gradient {norm}; the step was "
            "not applied, and no checkpoint holds it: lower schedule.learning_rate, or train in "
            "fp32"
        )


def step_figures(
    step: StepResult,
    objective: ContrastiveObjective,
    config: PretrainConfig,
    rate: LambdaLR,
    timer: "StepTimer",
    epoch: int,
) -> dict[str, float]:
    """Compute the figures of a step over all processes.

    Speed and waiting time are those since the last report.

    `recall_at_1` is computed over the clips with a negative in the batch, and absent if no clip has
    one.
    """
    all_audio, all_text = distributed.gather_rows(step.audio), distributed.gather_rows(step.text)
    own = distributed.first_row_index(step.audio) + torch.arange(
        len(step.audio), device=step.audio.device
    )
    similar = step.audio @ all_text.T
    best = similar.argmax(dim=1)
    found = (best == own) | step.false_negatives.gather(1, best[:, None])[:, 0]
    # A clip that every caption of the batch fits has no negative to be compared with.
    compared = ~step.false_negatives.all(dim=1)
    clips_compared = distributed.sum_over_ranks(float(compared.sum()))
    clips_found = distributed.sum_over_ranks(float(found[compared].sum()))
    figures: dict[str, float] = {
        "loss": distributed.sum_over_ranks(float(step.loss)) / distributed.get_world_size(),
        "loss_of_chance": losses.chance_loss(config.loss, len(all_audio)),
        "logit_scale": float(objective.pair.logit_scale.detach().exp()),
        "gradient_norm": float(step.gradient_norm),
        "alignment": alignment(all_audio, all_text),
        "uniformity": uniformity(all_audio),
        "learning_rate": float(rate.get_last_lr()[0]),
        "epoch": epoch,
    }
    if clips_compared:
        figures["recall_at_1"] = clips_found / clips_compared
    return figures | timer.report(config.schedule.global_batch_size)


class StepTimer:
    """Measures the speed of steps, and the share of time that is spent waiting for data."""

    def __init__(self) -> None:
        self._begin()
        self.replaced = 0
        self._warned = False

    def waited(self, seconds: float) -> None:
        self._waited += seconds

    def stepped(self, batch: AudioTextBatch) -> None:
        self._steps += 1
        self.replaced += len(batch.replaced)

    def report(self, batch: int) -> dict[str, float]:
        """`batch`: number of clips in a step, of all processes."""
        elapsed = time.perf_counter() - self._begun
        figures = {
            "samples_per_s": self._steps * batch / elapsed,
            "data_wait": self._waited / elapsed,
            "clips_replaced": distributed.sum_over_ranks(self.replaced),
        }
        if figures["data_wait"] > MOST_DATA_WAIT and not self._first and not self._warned:
            self._warned = True
            console.stderr.print(
                f"training waits for data {figures['data_wait']:.0%} of its time: raise "
                "data.workers; tagscribe-train bench-loader measures the loader"
            )
        self._begin()
        self._first = False
        return figures

    _first = True  # the first report counts the start of the decoders, and does not warn

    def _begin(self) -> None:
        self._begun = time.perf_counter()
        self._waited = 0.0
        self._steps = 0
