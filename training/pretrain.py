"""Runs the loop of contrastive pre-training on curated tables, in plain torch.

The loop runs in a single process, in each process of torchrun, or in each worker of Ray Train.
`training.launch` starts it. The result is determined by the seed and the number of steps. The state
of a run is its newest checkpoint: a later call of `pretrain` continues from this checkpoint.
"""

import math
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from hashlib import blake2b
from typing import Any, NoReturn

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from curation import console
from curation.models.weights import resolve_device
from curation.storage.files import Storage
from curation.uris import join_uri
from training import (
    checkpoints,
    distributed,
    pretrain_model,
    run_folder,
)
from training.config.pretrain import PretrainConfig
from training.data.batch import AudioTextBatch
from training.data.features import compute_batch_features
from training.data.loader import TableLoader
from training.data.table_index import TableIndex
from training.export import export_model
from training.interrupts import StopRequest, TrainingStopped
from training.objective import ContrastiveObjective
from training.optim import build_pretrain_optimisers, one_cycle_factor
from training.preflight import check_trainable
from training.recorder import TrainingRecorder
from training.training_step import StepTimer, check_step_finite, run_step, step_figures
from training.validation_runner import ValidationRunner

MOST_LOGIT_SCALE = 100.0


def pretrain(
    config: PretrainConfig,
    validation: ValidationRunner,
    on_steps: console.ProgressCallback,
    stop: StopRequest | None = None,
) -> dict[str, float]:
    """Train, or resume training, to the end of the schedule; returns the last figures.

    Writes checkpoints, metrics.jsonl and finally the model to the run's folder;
    `training.run_folder` describes the files. Every process of the group calls this function. It
    does not wait for evaluations; `validation` waits for them at the end of its block.

    Args:
        stop: polled after each step. If any process has a request to stop, all processes write a
            checkpoint and stop.

    Raises:
        InputError: the configuration does not fit the tables, the folder or the machine.
        NonFiniteError: a loss or a gradient is not finite. Raised in all processes.
        RunError: a checkpoint could not be written.
        TrainingStopped: `stop` requested the stop. Raised in all processes.
    """
    # Denormal moments of rarely used words slow AdamW down several times.
    torch.set_flush_denormal(True)
    stop = stop or StopRequest()
    storage = Storage(config.storage)
    lead = distributed.get_rank() == 0
    device = _device(config.runtime.device)

    # The folder: one training, its tables at fixed versions, its first weights made once. The
    # other processes read it when the first one has written it.
    if lead:
        pairs = prepare_run_folder(config)
    distributed.barrier()
    if not lead:
        pairs = check_trainable(config, distributed.get_world_size())
    pair, tokenizer = pretrain_model.open_pretrain_model(
        storage, run_folder.initial_model_uri(config.run)
    )
    objective = ContrastiveObjective(pair, tokenizer, config, device)
    loader = TableLoader(
        pairs,
        config.data,
        config.schedule.global_batch_size,
        config.seed,
        pair.sample_rate_hz,
        distributed.get_rank(),
        distributed.get_world_size(),
    )

    # All that changes from step to step, and where it stood.
    steps = loader.batches_per_epoch * config.schedule.epochs
    trained = [parameter for parameter in objective.parameters() if parameter.requires_grad]
    optimisers = build_pretrain_optimisers(objective, config.schedule)
    rates = [
        LambdaLR(each, one_cycle_factor(steps, config.schedule.warmup_fraction))
        for each in optimisers
    ]
    parts: dict[str, Any] = {"objective": objective}
    parts |= {f"optimiser{index}": each for index, each in enumerate(optimisers)}
    averaged = _build_averaged_model(objective, config.schedule.ema_decay)
    if averaged is not None:
        parts["averaged"] = averaged
    step, figures = _resume(config, parts, rates, loader)

    def snapshot() -> checkpoints.TrainingState:
        progress = {"step": step, "loader": loader.state_dict(), "figures": figures}
        return checkpoints.snapshot_state(parts, progress)

    objective.train()
    timer = StepTimer()
    on_steps(step, steps)
    with ExitStack() as opened:
        opened.callback(loader.close)
        recorder = opened.enter_context(TrainingRecorder(config, validation)) if lead else None
        with stop.deferred():
            for batch in _timed_batches(loader, steps - step, timer):
                # One step: features, embeddings, loss and gradient, update.
                seed = _seed(config.seed, step, batch.start)
                torch.manual_seed(seed)
                done = run_step(
                    objective,
                    compute_batch_features(batch, pair, config.augment, seed),
                    config,
                    trained,
                )
                check_step_finite(done, step + 1)
                for optimiser, rate in zip(optimisers, rates, strict=True):
                    optimiser.step()
                    rate.step()
                with torch.no_grad():
                    pair.logit_scale.clamp_(max=math.log(MOST_LOGIT_SCALE))
                if averaged is not None:
                    averaged.update_parameters(objective)
                step += 1
                timer.stepped(batch)

                # A signal may reach the processes in different steps, or one of them alone.
                stopped_by = distributed.max_over_ranks(stop.poll())
                if step % config.saving.log_every_steps == 0 or step == steps or stopped_by:
                    figures = step_figures(done, objective, config, rates[0], timer, batch.epoch)
                    figures["steps_planned"] = steps
                    if recorder:
                        recorder.log(step, figures)
                    on_steps(step, steps)
                if recorder:
                    recorder.save_if_due(step, snapshot, step == steps, bool(stopped_by))
                if stopped_by:
                    _stop(stopped_by, step, steps, recorder)
        if recorder:
            recorder.wait()
            recorder.validate_last(step)
            export_model(storage, config.run, run_folder.model_uri(config.run))
    distributed.barrier()
    return figures


def prepare_run_folder(config: PretrainConfig) -> TableIndex:
    """Write the initial files of the run's folder that are missing; see `training.run_folder`.

    Returns the training clips.

    Raises InputError as `check_trainable` does, before anything is written.
    """
    storage = Storage(config.storage)
    pairs = check_trainable(config, distributed.get_world_size())
    start = run_folder.initial_model_uri(config.run)
    built = storage.exists(join_uri(start, "config.json"))
    first = None if built else pretrain_model.build_pretrain_model(config, pairs.all_captions)
    run_folder.write_training_record(config, pairs)
    if first is not None:
        pretrain_model.save_pretrain_model(storage, *first, start)
    return pairs


def _stop(by: int, step: int, steps: int, recorder: TrainingRecorder | None) -> NoReturn:
    """Wait, in all processes, until the checkpoint of the step is there."""
    if recorder:
        recorder.wait()
    distributed.barrier()
    raise TrainingStopped(
        f"stopped at step {step:,} of {steps:,}; its checkpoint is written: run the same command "
        "again to go on from there",
        by,
    )


def _timed_batches(loader: TableLoader, batches: int, timer: StepTimer) -> Iterator[AudioTextBatch]:
    """The next `batches` batches; the timer counts the time spent waiting for each."""
    source = iter(loader)
    for _ in range(batches):
        began = time.perf_counter()
        batch = next(source)
        timer.waited(time.perf_counter() - began)
        yield batch


def _resume(
    config: PretrainConfig, parts: Mapping[str, Any], rates: list[LambdaLR], loader: TableLoader
) -> tuple[int, dict[str, float]]:
    """Set everything to the newest checkpoint; the steps done, 0 without one, and its figures."""
    storage = Storage(config.storage)
    found = (
        checkpoints.list_checkpoints(storage, run_folder.checkpoints_uri(config.run))
        if distributed.get_rank() == 0
        else {}
    )
    newest: str | None = distributed.broadcast_object(max(found.items())[1] if found else None)
    if newest is None:
        return 0, {}
    state = checkpoints.read_checkpoint(storage, newest)
    checkpoints.restore_state(state, parts, newest)
    loader.load_state_dict(state.progress["loader"])
    for rate in rates:
        rate.last_epoch = state.progress["step"]
    return state.progress["step"], state.progress["figures"]


def _build_averaged_model(objective: nn.Module, decay: float | None) -> AveragedModel | None:
    """The exponential moving average of weights and of batch norm's statistics."""
    if decay is None:
        return None
    return AveragedModel(objective, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)


def _seed(*numbers: int) -> int:
    """One seed of several numbers; neighbours are unrelated."""
    return int.from_bytes(blake2b(repr(numbers).encode(), digest_size=7).digest(), "big")


def _device(name: str) -> torch.device:
    """This process's device; of several GPUs on a machine, the one of its local rank."""
    device = resolve_device(name)
    if device.type == "cuda" and device.index is None:
        local = int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count()
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    return device
