"""The driver of a run: finds the shards without evidence, has them annotated, and reports progress.

The graph of workers is in `graph`, the search for clips that crash them in `recovery`.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from curation import console
from curation.annotate import metrics
from curation.annotate.task import Task
from curation.annotate.workers import FusedWorker
from curation.cluster import pools, recovery
from curation.cluster.metrics_export import RayMeter
from curation.cluster.session import ray_session
from curation.config.run import RunConfig
from curation.errors import RunError
from curation.models import run_models
from curation.run import driver_state, footer_cache, plan
from curation.run import evidence as run_evidence
from curation.run.layout import RunFolder
from curation.run.record import check_same_run, require_run_record

POLL_INTERVAL_S = 1.0


def annotate_run(
    config: RunConfig, on_progress: Callable[[int, int], None], fused_worker: type = FusedWorker
) -> run_evidence.ShardCounts:
    """Write the evidence of every planned shard that has none, and count the outcomes of all.

    Args:
        config: the run's configuration.
        on_progress: called with the number of clips with evidence, and of clips planned.
        fused_worker: the worker of placement fused; a simulation brings its own.

    Raises:
        InputError: the folder belongs to another run, or the cluster is too small.
        RunError: a shard could not be written; the others are.
    """
    run = RunFolder.from_config(config)
    record = require_run_record(run)
    check_same_run(run, record, config, run_models.build_run_models(config).identities)
    planned = plan.plan_from_record(record)
    done = set(run_evidence.list_done_shards(run))
    todo = [shard for shard in range(planned.shards) if shard not in done]
    with driver_state.record_driver_state(run) as heartbeat:
        tracker = ProgressTracker(run, planned, todo)

        def poll(gauges: RayMeter) -> None:
            heartbeat()
            clips = tracker.count_clips_done()
            on_progress(clips, planned.clips)
            gauges.record(metrics.CLIPS_DONE, clips)
            gauges.record(metrics.CLIPS_PLANNED, planned.clips)

        if todo:
            tasks = [Task(shard, 0, planned.shard_size(shard)) for shard in todo]
            with_ray = _polled_ray(config, poll)
            errors = recovery.run_and_recover(config, tasks, fused_worker, with_ray)
            _require_all_done(planned, run_evidence.list_done_shards(run), errors)
        on_progress(tracker.count_clips_done(), planned.clips)
        return _count_all(run)


class ProgressTracker:
    """Counts the clips with evidence by listing; fills the run's footer cache on the way."""

    def __init__(self, run: RunFolder, planned: plan.Plan, todo: Sequence[int]) -> None:
        """`todo`: the shards without evidence at the start."""
        self._run = run
        self._planned = planned
        self._cache = footer_cache.FooterCacheWriter(run, planned.shards, todo)

    def count_clips_done(self) -> int:
        """Clips of the shards whose evidence is written."""
        evidence = run_evidence.list_evidence_files(self._run)
        self._cache.write_full_parts(evidence)
        return sum(self._planned.shard_size(shard) for shard in evidence)


def _polled_ray(config: RunConfig, poll: Callable[[RayMeter], None]) -> recovery.RaySessionFactory:
    """A context that connects to Ray and calls `poll` in the background, as often as entered."""

    @contextmanager
    def session() -> Iterator[None]:
        cpus = pools.count_cpus_needed(config.annotate)
        resources = pools.list_node_resources(config.annotate)
        with ray_session(config.cluster, cpus, resources, config.metrics_port):
            gauges = RayMeter()
            with console.poll_in_background(lambda: poll(gauges), POLL_INTERVAL_S):
                yield

    return session


def _count_all(run: RunFolder) -> run_evidence.ShardCounts:
    footers = footer_cache.read_footers(run, run_evidence.list_evidence_files(run))
    return run_evidence.sum_counts([footer.counts for footer in footers.values()])


def _require_all_done(planned: plan.Plan, done: list[int], errors: list[str]) -> None:
    missing = sorted(set(range(planned.shards)) - set(done))
    if not missing:
        return
    few = ", ".join(str(shard) for shard in missing[:10]) + (", ..." if len(missing) > 10 else "")
    why = f"shard error: {errors[0]}" if errors else "their worker died again and again"
    raise RunError(
        f"{len(missing)} of {planned.shards} shards have no evidence ({few}): {why}. "
        "What is written stays; the same command goes on from there"
    )
