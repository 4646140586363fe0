"""Contrastive pre-training on curated tables: the loop, in plain torch.

It runs alone, as one process of a torchrun, or as one worker of Ray Train; `training.launch`
starts it. All that changes what is learnt follows from the seed and the step, and the state of a
run is its newest checkpoint: whoever calls `pretrain` again goes on from there.
"""

import math
import os
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from curation import console
from curation.errors import RunError
from curation.models.weights import pick_device
from curation.storage import files as storage
from curation.uris import join_uri
from training import checkpoints, distributed, grad_cache, losses, models, run_folder, tracking
from training.config.pretrain import PretrainConfig
from training.data.features import Heard, alike, hear
from training.data.loader import Batch, Loader
from training.data.table_index import Pairs
from training.export import export
from training.metrics import alignment, uniformity
from training.objective import Objective
from training.optim import adamw, one_cycle
from training.preflight import need_trainable

MOST_LOGIT_SCALE = 100.0
MOST_DATA_WAIT = 0.1


class Host(Protocol):
    """What started the training, and what it is asked beside the loop."""

    def validate(self, checkpoint: str) -> None:
        """Begin to evaluate a checkpoint elsewhere; returns at once."""
        ...

    @property
    def evaluated(self) -> Collection[str]:
        """The checkpoints that are being evaluated and must stay."""
        ...

    def close(self) -> None:
        """Wait for the evaluations."""
        ...


@dataclass
class Step:
    """What one step came to."""

    loss: Tensor
    gradient_norm: Tensor
    audio: Tensor
    text: Tensor
    same: Tensor


def pretrain(
    config: PretrainConfig, host: Host, on_steps: console.ProgressCallback
) -> dict[str, float]:
    """Train, or go on training, to the end of the schedule; the last figures.

    Writes checkpoints, metrics.jsonl and in the end the model to the run's folder; the files'
    meaning is in `training.run_folder`. Called in every process of the group alike.

    Raises:
        InputError: the configuration does not fit the tables, the folder or the machine.
        RunError: the loss is no longer finite, or a checkpoint could not be written.
    """
    # Denormal moments of rarely used words slow AdamW down several times.
    torch.set_flush_denormal(True)
    storage.configure(config.storage)
    lead = distributed.rank() == 0
    device = _device(config.runtime.device)

    # The folder: one training, its tables at fixed versions, its first weights made once. The
    # other processes look when the first one has written all that.
    if lead:
        pairs = prepare(config)
    distributed.agreed(None)
    if not lead:
        pairs = need_trainable(config, distributed.world())
    pair, tokenizer = models.opened(run_folder.start_uri(config.run))
    objective = Objective(pair, tokenizer, config, device)
    loader = Loader(
        pairs,
        config.data,
        config.schedule.batch,
        config.seed,
        pair.sample_rate_hz,
        distributed.rank(),
        distributed.world(),
    )

    # All that changes from step to step, and where it stood.
    steps = loader.batches_per_epoch * config.schedule.epochs
    trained = [parameter for parameter in objective.parameters() if parameter.requires_grad]
    optimisers = adamw(objective, config.schedule)
    rates = [LambdaLR(each, one_cycle(steps, config.schedule.warmup)) for each in optimisers]
    parts: dict[str, Any] = {"objective": objective}
    parts |= {f"optimiser{index}": each for index, each in enumerate(optimisers)}
    averaged = _averaged(objective, config.schedule.ema)
    if averaged is not None:
        parts["averaged"] = averaged
    step, figures = _resume(config, parts, rates, loader)

    writer = checkpoints.Writer(run_folder.checkpoints_uri(config.run), config.saving.keep)
    trackers: list[tracking.Sink] = []
    if lead:
        lines = tracking.JsonLines(run_folder.metrics_uri(config.run), step)
        settings = config.model_dump(mode="json")
        trackers = [
            lines,
            *tracking.open_trackers(config.saving.trackers, config.run, settings),
        ]
    validated: str | None = None
    objective.train()
    clock = _Clock()
    on_steps(step, steps)
    try:
        for batch in _until(loader, steps - step, clock):
            # One step: hear, embed, compare, step.
            seed = _seed(config.seed, step, batch.start)
            torch.manual_seed(seed)
            done = _step(objective, hear(batch, pair, config.augment, seed), config, trained)
            for optimiser, rate in zip(optimisers, rates, strict=True):
                optimiser.step()
                rate.step()
            with torch.no_grad():
                pair.logit_scale.clamp_(max=math.log(MOST_LOGIT_SCALE))
            if averaged is not None:
                averaged.update_parameters(objective)
            step += 1
            clock.stepped(batch)

            if step % config.saving.log_every == 0 or step == steps:
                figures = _figures(done, objective, config, rates[0], clock, batch.epoch)
                figures["steps_planned"] = steps
                _need_finite(figures["loss"], step)
                for tracker in trackers:
                    tracker.log(step, figures)
                on_steps(step, steps)
            if lead and (step % config.saving.checkpoint_every == 0 or step == steps):
                _need_finite(float(done.loss), step)
                # A run that dies now and goes on from here has the lines up to here.
                lines.flush()
                about = {"step": step, "loader": loader.state_dict(), "figures": figures}
                writer.write(step, checkpoints.snapshot(parts, about), host.evaluated)
            if lead and writer.done not in (None, validated):
                validated = writer.done
                host.validate(validated)

        if lead and (last := writer.wait()) not in (None, validated):
            host.close()
            host.validate(last)
    finally:
        loader.close()
        for tracker in trackers:
            tracker.close()
        host.close()
    if lead:
        export(config.run, run_folder.model_uri(config.run))
    distributed.agreed(None)
    return figures


def prepare(config: PretrainConfig) -> Pairs:
    """Make the run's folder what it says in `training.run_folder`, where it is not yet.

    Returns the clips to train on.

    Raises InputError as `need_trainable` does, before anything is written.
    """
    pairs = need_trainable(config, distributed.world())
    start = run_folder.start_uri(config.run)
    built = storage.exists(join_uri(start, "config.json"))
    first = None if built else models.build(config, pairs.all_captions)
    run_folder.write(config, pairs)
    if first is not None:
        models.save(*first, start)
    return pairs


def _step(
    objective: Objective, heard: Heard, config: PretrainConfig, trained: list[nn.Parameter]
) -> Step:
    objective.zero_grad(set_to_none=True)
    same = alike(
        heard.clips, heard.texts, distributed.gather(heard.clips), distributed.gather(heard.texts)
    )
    rows = len(heard.captions)
    size = config.schedule.chunk or rows
    loss, audio, text = grad_cache.backward(
        objective,
        [heard.part(slice(start, start + size)) for start in range(0, rows, size)],
        objective.embed,
        lambda audio, text: objective.loss_of(audio, text, same),
    )
    distributed.average_gradients(trained)
    norm = nn.utils.clip_grad_norm_(trained, config.schedule.clip_norm)
    return Step(loss, norm, audio, text, same)


def _figures(
    step: Step,
    objective: Objective,
    config: PretrainConfig,
    rate: LambdaLR,
    clock: "_Clock",
    epoch: int,
) -> dict[str, float]:
    """What is reported of a step, over all processes; speed and data wait since the last report."""
    all_audio, all_text = distributed.gather(step.audio), distributed.gather(step.text)
    own = distributed.first_row(step.audio) + torch.arange(
        len(step.audio), device=step.audio.device
    )
    similar = step.audio @ all_text.T
    best = similar.argmax(dim=1)
    found = (best == own) | step.same.gather(1, best[:, None])[:, 0]
    figures: dict[str, float] = {
        "loss": distributed.total(float(step.loss)) / distributed.world(),
        "loss_of_chance": losses.chance(config.loss, len(all_audio)),
        "logit_scale": float(objective.pair.logit_scale.detach().exp()),
        "gradient_norm": float(step.gradient_norm),
        "recall_at_1": distributed.total(float(found.sum())) / len(all_audio),
        "alignment": alignment(all_audio, all_text),
        "uniformity": uniformity(all_audio),
        "learning_rate": float(rate.get_last_lr()[0]),
        "epoch": epoch,
    }
    return figures | clock.report(config.schedule.batch)


class _Clock:
    """How fast steps go, and how much of their time they wait for data."""

    def __init__(self) -> None:
        self._begin()
        self.replaced = 0
        self._warned = False

    def waited(self, seconds: float) -> None:
        self._waited += seconds

    def stepped(self, batch: Batch) -> None:
        self._steps += 1
        self.replaced += len(batch.replaced)

    def report(self, batch: int) -> dict[str, float]:
        """`batch`: clips a step, of all processes."""
        elapsed = time.perf_counter() - self._begun
        figures = {
            "samples_per_s": self._steps * batch / elapsed,
            "data_wait": self._waited / elapsed,
            "clips_replaced": distributed.total(self.replaced),
        }
        if figures["data_wait"] > MOST_DATA_WAIT and not self._first and not self._warned:
            self._warned = True
            console.stderr.print(
                f"training waits for data {figures['data_wait']:.0%} of its time: raise "
                "data.workers; tagscribe-train bench-loader says what they can give"
            )
        self._begin()
        self._first = False
        return figures

    _first = True  # the first report counts the start of the decoders, and does not warn

    def _begin(self) -> None:
        self._begun = time.perf_counter()
        self._waited = 0.0
        self._steps = 0


def _until(loader: Loader, batches: int, clock: _Clock) -> Iterator[Batch]:
    """So many batches, the time that each was waited for told to the clock."""
    source = iter(loader)
    for _ in range(batches):
        asked = time.perf_counter()
        batch = next(source)
        clock.waited(time.perf_counter() - asked)
        yield batch


def _resume(
    config: PretrainConfig, parts: Mapping[str, Any], rates: list[LambdaLR], loader: Loader
) -> tuple[int, dict[str, float]]:
    """Set everything to the newest checkpoint; the steps done, 0 without one, and its figures."""
    found = (
        checkpoints.listed(run_folder.checkpoints_uri(config.run))
        if distributed.rank() == 0
        else {}
    )
    newest: str | None = distributed.agreed(max(found.items())[1] if found else None)
    if newest is None:
        return 0, {}
    state = checkpoints.read(newest)
    checkpoints.restore(state, parts, newest)
    loader.load_state_dict(state.about["loader"])
    for rate in rates:
        rate.last_epoch = state.about["step"]
    return state.about["step"], state.about["figures"]


def _averaged(objective: nn.Module, decay: float | None) -> AveragedModel | None:
    """The exponential moving average of weights and of batch norm's statistics."""
    if decay is None:
        return None
    return AveragedModel(objective, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)


def _seed(*numbers: int) -> int:
    """One seed of several numbers; neighbours are unrelated."""
    return int.from_bytes(blake2b(repr(numbers).encode(), digest_size=7).digest(), "big")


def _device(name: str) -> torch.device:
    """This process's device; of several GPUs on a machine, the one of its local rank."""
    device = pick_device(name)
    if device.type == "cuda" and device.index is None:
        local = int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count()
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    return device


def _need_finite(loss: float, step: int) -> None:
    if not math.isfinite(loss):
        raise RunError(
            f"the loss is {loss} at step {step}: lower schedule.learning_rate, or train in fp32; "
            "the checkpoints before are as they were"
        )
