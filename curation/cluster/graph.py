"""The Ray Data graph of a run. It takes tasks, and its workers write the evidence of the shards.

The evidence of a shard is written completely or not at all. A task that is lost with its actor has
no outcome, and `engine.recovery` runs it again.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray.data import ActorPoolStrategy, DataContext, Dataset
from ray.util.annotations import RayDeprecationWarning

from curation.annotate import pools
from curation.annotate.task import Task, TaskResult, WorkerDeath, parse_outcome
from curation.annotate.vllm_workers import VllmRequestWorker, VllmResponseCollector
from curation.annotate.workers import CaptionWorker, DecodeWorker, FusedWorker, ScoreWorker
from curation.cluster import placement, vllm_stage
from curation.cluster.metrics_export import RayMeter
from curation.cluster.supervised_worker import SupervisedWorker
from curation.config.run import RunConfig

# A large model may take longer to load than Ray waits for progress by default.
NO_PROGRESS_TIMEOUT_S = 6 * 3600.0


@dataclass(frozen=True)
class DeathLimits:
    """How often Ray restarts an actor that dies, and how often it retries the actor's tasks."""

    restarts: int
    retries: int


def run_tasks(
    config: RunConfig,
    tasks: Sequence[Task],
    limits: DeathLimits,
    fused_worker: type = FusedWorker,
) -> Iterator[TaskResult | WorkerDeath]:
    """Run tasks through the graph on the running Ray, and yield each outcome when its task ends.

    A task that is lost with its actor more often than `limits` allow has no outcome.

    Args:
        config: the configuration of the run.
        tasks: the tasks to run.
        limits: how often an actor is restarted and its tasks are retried.
        fused_worker: the worker class of `placement: fused` (see `driver.annotate_run`).
    """
    # `iter_rows` would also collect batches, in threads of its own, for each task.
    for bundle in _build_graph(config, tasks, limits, fused_worker).iter_internal_ref_bundles():
        for block in ray.get(list(bundle.block_refs)):
            for row in block.to_pylist():
                yield parse_outcome(row)


def uses_vllm(config: RunConfig) -> bool:
    """Whether vLLM writes the captions, in a separate stage."""
    return config.captioner.kind == "vllm"


def _build_graph(
    config: RunConfig, tasks: Sequence[Task], limits: DeathLimits, fused_worker: type
) -> Dataset:
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_no_progress_timeout_s = NO_PROGRESS_TIMEOUT_S
    # Else a thread of each actor reads its whole memory map every second.
    context.memory_usage_poll_interval_s = None
    # A shard whose worker keeps dying must not take the others with it; it has no result.
    context.max_errored_blocks = -1
    rows = ray.data.from_items(
        [{"task": task.to_json()} for task in tasks], override_num_blocks=len(tasks)
    )
    sized = placement.place_pools(config.annotate, len(tasks))
    if uses_vllm(config):
        return _add_vllm_stages(rows, config, sized, limits)
    if config.annotate.placement == "fused":
        return _add_stage(rows.map, SupervisedWorker, config, sized[0], limits, fused_worker)
    for worker, pool in zip((DecodeWorker, CaptionWorker, ScoreWorker), sized, strict=True):
        rows = _add_stage(rows.map, worker, config, pool, limits)
    return rows


def _add_vllm_stages(
    rows: Dataset, config: RunConfig, sized: Sequence[pools.Pool], limits: DeathLimits
) -> Dataset:
    """Shards become requests, and responses become shards."""
    decoders, captioners, scorers = sized
    collector, engines = pools.RESPONSE_COLLECTOR, captioners.max_actors
    rows = _add_stage(rows.flat_map, VllmRequestWorker, config, decoders, limits)
    write = vllm_stage.build_vllm_processor(config, captioners, limits.restarts, limits.retries)
    rows = write(rows)
    rows = _add_stage(rows.flat_map, VllmResponseCollector, config, collector, limits, engines)
    return _add_stage(rows.map, ScoreWorker, config, scorers, limits)


def _add_stage(
    apply: Callable[..., Dataset],
    worker: type,
    config: RunConfig,
    pool: pools.Pool,
    limits: DeathLimits,
    *others: Any,
) -> Dataset:
    """Add a pool of workers by a dataset's map or flat_map; `others` are their arguments."""
    with warnings.catch_warnings():
        # Ray 2.60 takes these bounds no other way, and warns that 2.64 will want another.
        warnings.simplefilter("ignore", RayDeprecationWarning)
        return apply(
            worker,
            fn_constructor_args=(config, RayMeter, *others),
            compute=ActorPoolStrategy(
                min_size=pool.min_actors,
                max_size=pool.max_actors,
                # A supervisor has one more, so that its worker does not wait for Ray.
                max_concurrent_calls_per_actor=pool.shards_at_once + (worker is SupervisedWorker),
                enable_true_multi_threading=True,
            ),
            max_restarts=limits.restarts,
            max_task_retries=limits.retries,
            **pool.ray_options,
        )
