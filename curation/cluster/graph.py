"""The Ray Data graph: descriptors of the shards without evidence go in, evidence files come out.

What travels between driver and workers is a task, which names a shard, and back, how it ended. A
shard is written whole or not at all. Shards whose workers died are tried again, and where they die
again, the clips that do it are found (`isolate`); whatever is missing in the end is named, and a
second run does it.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import ray
from ray.data import ActorPoolStrategy, DataContext, Dataset
from ray.util.annotations import RayDeprecationWarning

from curation import console
from curation.annotate import metrics
from curation.annotate import task as annotate_task
from curation.annotate.task import Task
from curation.annotate.vllm_workers import AskWorker, GatherWorker
from curation.annotate.workers import CaptionWorker, DecodeWorker, FusedWorker, ScoreWorker
from curation.cluster import placement, pools, vllm_stage
from curation.cluster.metrics_export import RayMeter
from curation.cluster.session import ray_session
from curation.config.run import RunConfig
from curation.errors import RunError
from curation.models import run_models
from curation.run import driver_state, footer_cache, plan
from curation.run import evidence as run_evidence
from curation.run.record import check_same_run, require_run_record

# A worker that dies is started again, and its task tried again, this often.
WORKER_RESTARTS = 3
TASK_RETRIES = 2
LEDGER_INTERVAL_S = 1.0
# A large model may take longer to load than Ray waits for progress by default.
NO_PROGRESS_TIMEOUT_S = 6 * 3600.0


@dataclass(frozen=True)
class TaskResult:
    """How a task ended: its error, empty when it is done, and when its work was done."""

    task: Task
    error: str
    started_s: float  # Unix time at which its first stage began
    ended_s: float


def annotate(
    config: RunConfig, on_clips: Callable[[int, int], None], fused: type = FusedWorker
) -> run_evidence.ShardCounts:
    """Write the evidence of every planned shard that has none, and count the outcomes of all.

    Args:
        config: the run's configuration.
        on_clips: called with clips whose evidence the ledger holds, and clips planned.
        fused: the worker of placement fused; a simulation brings its own.

    Raises:
        InputError: the folder belongs to another run, or the cluster is too small.
        RunError: a shard could not be written; the others are.
    """
    record = require_run_record(config.run)
    check_same_run(config.run, record, config, run_models.build(config).identities)
    planned = plan.plan_from_record(record)
    done = run_evidence.list_done_shards(config.run)
    todo = sorted(set(range(planned.shards)) - set(done))
    with driver_state.record_driver_state(config.run) as beat:
        ledger = _Ledger(
            config.run, planned, footer_cache.FooterCacheWriter(config.run, planned.shards, todo)
        )

        def look(gauges: RayMeter) -> None:
            beat()
            clips = ledger.look()
            on_clips(clips, planned.clips)
            gauges.record(metrics.CLIPS_DONE, clips)
            gauges.record(metrics.CLIPS_PLANNED, planned.clips)

        if todo:
            tasks = [Task(n, 0, planned.shard_size(n)) for n in todo]
            errors = _settle(config, tasks, fused, look)
            _need_all(planned, run_evidence.list_done_shards(config.run), errors)
        on_clips(ledger.look(), planned.clips)
        footers = footer_cache.read_footers(
            config.run, run_evidence.list_evidence_files(config.run)
        )
        return run_evidence.sum_counts([footer.counts for footer in footers.values()])


@contextmanager
def _watched_ray(config: RunConfig, look: Callable[[RayMeter], None]) -> Iterator[None]:
    settings = config.annotate
    cpus, node_types = pools.count_cpus_needed(settings), pools.list_node_resources(settings)
    with ray_session(config.cluster, cpus, node_types, config.metrics_port):
        gauges = RayMeter()
        with console.poll_in_background(lambda: look(gauges), LEDGER_INTERVAL_S):
            yield


class _Ledger:
    """The evidence written so far, by its listing; its sums go to progress/ as they are full."""

    def __init__(
        self, run_uri: str, planned: plan.Plan, parts: footer_cache.FooterCacheWriter
    ) -> None:
        self._run_uri = run_uri
        self._planned = planned
        self._parts = parts

    def look(self) -> int:
        """The clips whose evidence is there."""
        evidence = run_evidence.list_evidence_files(self._run_uri)
        self._parts.write_full_parts(evidence)
        return sum(self._planned.shard_size(shard) for shard in evidence)


def run_tasks(
    config: RunConfig, tasks: Sequence[Task], fused: type = FusedWorker
) -> Iterator[TaskResult]:
    """Send tasks through the graph on the Ray that is running; results as they come.

    A task whose worker died more often than it may has no result.

    Args:
        config: the run's configuration.
        tasks: what to do.
        fused: as in `annotate`.
    """
    for row in _graph(config, tasks, fused).iter_rows():
        yield _result(row)


def _result(row: Mapping[str, Any]) -> TaskResult:
    task = Task.from_json(row["task"])
    return TaskResult(task, row["error"], row["started_s"], row["ended_s"])


def _settle(
    config: RunConfig, shards: Sequence[Task], fused: type, look: Callable[[RayMeter], None]
) -> list[str]:
    """Do shards, without the clips that kill their workers; the errors of those that raised."""
    with _watched_ray(config, look):
        try:
            results = list(run_tasks(config, shards, fused))
        except ray.exceptions.RayActorError as error:
            # Ray's account ends in what happened: the last line of a traceback, or how it died.
            reason = str(error).strip().splitlines()[-1]
            raise RunError(f"workers cannot start: {reason}") from error
    told = {result.task for result in results}
    died = [task for task in shards if task not in told]
    if died:
        # Joined anew: actors of the graph that were just starting again when it ended would live
        # on otherwise, and hold their CPUs and GPUs.
        with _watched_ray(config, look):
            alone = _Apart(config) if _by_vllm(config) else _Alone(config, fused, len(died))
            results += _without_killers(alone, died)
    return [result.error for result in results if result.error]


def _by_vllm(config: RunConfig) -> bool:
    return config.captioner.kind == "vllm"


def _without_killers(alone: "_Alone | _Apart", died: Sequence[Task]) -> list[TaskResult]:
    """Do shards on which workers died, without the clips that kill them."""
    # Lost nodes are the likelier cause: once more as they are, before the search.
    died = sorted(set(died) - alone.survived(died), key=lambda task: task.shard)
    if died:
        console.stderr.print(
            f"workers died again and again on {len(died)} shards; looking for the clips that do it"
        )
        found = annotate_task.find_crashing_clips(died, alone.survived)
        alone.survived([replace(task, crashing_clips=found[task.shard]) for task in died])
    return alone.results


class _Apart:
    """The graph, for one task at a time: each starts vLLM anew, and none dies of another's clip."""

    def __init__(self, config: RunConfig) -> None:
        self.results: list[TaskResult] = []
        self._config = config

    def survived(self, tasks: Sequence[Task]) -> set[Task]:
        """Those of the tasks that their workers lived through."""
        return {task for task in tasks if self._try(task)}

    def _try(self, task: Task) -> bool:
        try:
            results = list(run_tasks(self._config, [task]))
        except ray.exceptions.RayActorError:
            return False
        self.results += results
        return bool(results)


class _Alone:
    """Workers outside the graph, each with one task at a time, and made anew when it has died.

    In the graph, what waits for an actor that dies is lost with it.
    """

    def __init__(self, config: RunConfig, fused: type, tasks: int) -> None:
        self.results: list[TaskResult] = []
        self._config = config
        self._fused = fused
        placed = placement.place_pools(config.annotate, tasks)
        # Where each model has a pool of its own, an actor with both takes what a captioner does.
        self._pool = placed[0 if config.annotate.placement == "fused" else 1]

    def survived(self, tasks: Sequence[Task]) -> set[Task]:
        """Those of the tasks that their worker lived through."""
        workers = min(len(tasks), self._pool.max_actors)
        left = iter(list(tasks))  # hands each task to one thread
        with ThreadPoolExecutor(workers) as threads:
            parts = [threads.submit(self._work_off, left) for _ in range(workers)]
            return set().union(*(part.result() for part in parts))

    def _work_off(self, tasks: Iterator[Task]) -> set[Task]:
        worker = _Worker(self._config, self._fused, self._pool)
        try:
            return {task for task in tasks if self._try(task, worker)}
        finally:
            worker.close()

    def _try(self, task: Task, worker: "_Worker") -> bool:
        # A half that dies by chance, with its node, costs two halves more, and no verdict.
        tries = 1 if task.dry_run and task.clip_count > 1 else 1 + TASK_RETRIES
        for _ in range(tries):
            row = worker.attempt(task)
            if row:
                self.results.append(_result(row))
                return True
        return False


class _Worker:
    """An actor that holds a worker, started anew after each death."""

    def __init__(self, config: RunConfig, fused: type, pool: pools.Pool) -> None:
        self._arguments = (fused, config)
        self._actor: Any = None
        self._remote = ray.remote(_Attempt).options(**pool.ray_options)

    def attempt(self, task: Task) -> dict[str, Any] | None:
        """The task's row; None where the process died of it."""
        self._actor = self._actor or self._remote.remote(*self._arguments)
        try:
            row: dict[str, Any] = ray.get(self._actor.attempt.remote(task.to_json()))
        except ray.exceptions.RayActorError:
            self.close()
            return None
        return row

    def close(self) -> None:
        if self._actor is not None:
            ray.kill(self._actor)
            self._actor = None


class _Attempt:
    """A worker as an actor of its own."""

    def __init__(self, worker: type, config: RunConfig) -> None:
        self._worker = worker(config, RayMeter)

    def attempt(self, task: str) -> dict[str, Any]:
        row: dict[str, Any] = self._worker({"task": task})
        return row


def _graph(config: RunConfig, tasks: Sequence[Task], fused: type) -> Dataset:
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_no_progress_timeout_s = NO_PROGRESS_TIMEOUT_S
    # A shard whose worker keeps dying must not take the others with it; the ledger tells.
    context.max_errored_blocks = -1
    rows = ray.data.from_items(
        [{"task": task.to_json()} for task in tasks], override_num_blocks=len(tasks)
    )
    placed = placement.place_pools(config.annotate, len(tasks))
    if _by_vllm(config):
        return _through_vllm(rows, config, placed)
    separate = [DecodeWorker, CaptionWorker, ScoreWorker]
    workers = [fused] if config.annotate.placement == "fused" else separate
    for worker, pool in zip(workers, placed, strict=True):
        rows = _stage(rows.map, worker, config, pool)
    return rows


def _through_vllm(rows: Dataset, config: RunConfig, placed: Sequence[pools.Pool]) -> Dataset:
    """Shards become questions, and replies become shards."""
    decoders, captioners, scorers = placed
    rows = _stage(rows.flat_map, AskWorker, config, decoders)
    rows = vllm_stage.build_vllm_processor(config, captioners, WORKER_RESTARTS, TASK_RETRIES)(rows)
    rows = _stage(
        rows.flat_map, GatherWorker, config, pools.RESPONSE_COLLECTOR, captioners.max_actors
    )
    return _stage(rows.map, ScoreWorker, config, scorers)


def _stage(
    apply: Callable[..., Dataset], worker: type, config: RunConfig, pool: pools.Pool, *others: Any
) -> Dataset:
    """A pool of workers behind `apply`, a dataset's map or flat_map; `others` are its arguments."""
    with warnings.catch_warnings():
        # Ray 2.60 takes these bounds no other way, and warns that 2.64 will want another.
        warnings.simplefilter("ignore", RayDeprecationWarning)
        return apply(
            worker,
            fn_constructor_args=(config, RayMeter, *others),
            compute=ActorPoolStrategy(
                min_size=pool.min_actors,
                max_size=pool.max_actors,
                max_concurrent_calls_per_actor=pool.shards_at_once,
                enable_true_multi_threading=True,
            ),
            max_restarts=WORKER_RESTARTS,
            max_task_retries=TASK_RETRIES,
            **pool.ray_options,
        )


def _need_all(planned: plan.Plan, done: list[int], errors: list[str]) -> None:
    missing = sorted(set(range(planned.shards)) - set(done))
    if not missing:
        return
    few = ", ".join(str(shard) for shard in missing[:10]) + (", ..." if len(missing) > 10 else "")
    why = f"shard error: {errors[0]}" if errors else "their worker died again and again"
    raise RunError(
        f"{len(missing)} of {planned.shards} shards have no evidence ({few}): {why}. "
        "What is written stays; the same command goes on from there"
    )
