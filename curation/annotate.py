"""The Ray Data graph: descriptors of the shards without evidence go in, evidence files come out.

What travels between driver and workers is a shard's number and, back, how it ended. A shard is
written whole or not at all; whatever is missing when the graph ends is named, and a second run
does it.
"""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import ray
from ray.data import ActorPoolStrategy, DataContext, Dataset
from ray.util.annotations import RayDeprecationWarning

from curation import captioners, console, plan, run, scorers, sink
from curation.cluster import cluster
from curation.config import AnnotateConfig, RunConfig
from curation.errors import InputError, RunError
from curation.workers import CaptionWorker, DecodeWorker, FusedWorker, ScoreWorker

# A worker that dies is started again, and its shard tried again, this often.
WORKER_RESTARTS = 3
SHARD_RETRIES = 2
LEDGER_INTERVAL_S = 1.0
# A large model may take longer to load than Ray waits for progress by default.
NO_PROGRESS_TIMEOUT_S = 6 * 3600.0


@dataclass(frozen=True)
class ShardResult:
    """How a shard ended: its error, empty when it is written, and when its work was done."""

    shard: int
    error: str
    started_s: float  # Unix time at which its first stage began
    ended_s: float


def annotate(config: RunConfig, on_clips: Callable[[int, int], None]) -> sink.ShardCounts:
    """Write the evidence of every planned shard that has none, and count the outcomes of all.

    Args:
        config: the run's configuration.
        on_clips: called with clips whose evidence the ledger holds, and clips planned.

    Raises:
        InputError: the folder belongs to another run, or the cluster is too small.
        RunError: a shard could not be written; the others are.
    """
    record = run.need_record(config.run)
    run.check_same(
        config.run,
        record,
        config,
        captioners.build(config.captioner).identity,
        scorers.build(config.scorer).identity,
    )
    planned = plan.recorded(record)
    done = sink.done_shards(config.run)
    todo = sorted(set(range(planned.shards)) - set(done))
    if todo:

        def look() -> None:
            on_clips(_clips(planned, sink.done_shards(config.run)), planned.clips)

        with (
            cluster(config.cluster, cpus_needed(config.annotate)),
            console.watching(look, LEDGER_INTERVAL_S),
        ):
            results = list(run_shards(config, todo))
        done = sink.done_shards(config.run)
        _need_all(planned, done, results)
    on_clips(_clips(planned, done), planned.clips)
    return sink.total(sink.read_counts(config.run, done))


def cpus_needed(config: AnnotateConfig) -> int:
    """Logical CPUs that the pools hold, and one to spare for Ray's own tasks."""
    if config.placement == "fused":
        held = config.actors * config.model_threads if config.actors != "auto" else 0
    else:
        pools = config.pools
        held = pools.decoders + (pools.captioners + pools.scorers) * config.model_threads
    return held + 1


def run_shards(config: RunConfig, todo: list[int]) -> Iterator[ShardResult]:
    """Send shards through the graph on the Ray that is running; results as they come.

    A shard whose worker died more often than it may has no result.
    """
    for row in _graph(config, todo).iter_rows():
        yield ShardResult(row["shard"], row["error"], row["started_s"], row["ended_s"])


def _graph(config: RunConfig, todo: list[int]) -> Dataset:
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_no_progress_timeout_s = NO_PROGRESS_TIMEOUT_S
    # A shard whose worker keeps dying must not take the others with it; the ledger tells.
    context.max_errored_blocks = -1
    shards = ray.data.from_items(
        [{"shard": shard} for shard in todo], override_num_blocks=len(todo)
    )
    settings = config.annotate
    model = {"num_cpus": settings.model_threads, "num_gpus": settings.gpus_per_actor}
    if settings.placement == "fused":
        actors = _fused_actors(settings, len(todo))
        return _pool(shards, FusedWorker, config, actors, model)
    pools = settings.pools
    decoded = _pool(shards, DecodeWorker, config, pools.decoders, {"num_cpus": 1})
    captioned = _pool(decoded, CaptionWorker, config, pools.captioners, model)
    return _pool(captioned, ScoreWorker, config, pools.scorers, model)


def _pool(
    shards: Dataset, worker: type, config: RunConfig, size: int, resources: dict[str, float]
) -> Dataset:
    # An actor with a GPU decodes a second shard while the first one has the model; on CPUs that
    # only adds threads to cores that are busy already.
    shards_at_once = 2 if resources.get("num_gpus") else 1
    with warnings.catch_warnings():
        # Ray 2.60 takes these bounds no other way, and warns that 2.64 will want another.
        warnings.simplefilter("ignore", RayDeprecationWarning)
        return shards.map(
            worker,
            fn_constructor_args=(config,),
            compute=ActorPoolStrategy(
                size=size,
                max_concurrent_calls_per_actor=shards_at_once,
                enable_true_multi_threading=True,
            ),
            max_restarts=WORKER_RESTARTS,
            max_task_retries=SHARD_RETRIES,
            **{name: amount for name, amount in resources.items() if amount},
        )


def _fused_actors(config: AnnotateConfig, shards: int) -> int:
    total = ray.cluster_resources()
    cpus, gpus = int(total.get("CPU", 0)), total.get("GPU", 0)
    by_cpu = cpus // config.model_threads
    room = min(by_cpu, int(gpus / config.gpus_per_actor)) if config.gpus_per_actor else by_cpu
    if config.actors == "auto":
        # One CPU stays free for Ray's own tasks where there is more than one.
        wanted = room if config.gpus_per_actor else max(1, room - 1)
    else:
        wanted = config.actors
    if room < wanted or room == 0:
        raise InputError(
            f"annotate.actors: {wanted} actors of {config.model_threads} CPUs and "
            f"{config.gpus_per_actor} GPUs each; the cluster has {cpus} CPUs and {gpus:g} GPUs; "
            "ask for fewer actors or a smaller share of a GPU"
        )
    return min(wanted, shards)


def _need_all(planned: plan.Plan, done: list[int], results: list[ShardResult]) -> None:
    missing = sorted(set(range(planned.shards)) - set(done))
    if not missing:
        return
    few = ", ".join(str(shard) for shard in missing[:10]) + (", ..." if len(missing) > 10 else "")
    first = next((result.error for result in results if result.error), None)
    why = f"shard error: {first}" if first else "their worker died again and again"
    raise RunError(
        f"{len(missing)} of {planned.shards} shards have no evidence ({few}): {why}. "
        "What is written stays; the same command goes on from there"
    )


def _clips(planned: plan.Plan, shards: list[int]) -> int:
    return sum(planned.shard_size(shard) for shard in shards)
