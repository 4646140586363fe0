"""The driver of a run: finds the shards without evidence, annotates them, and reports progress.

`executors` chooses the executor. `recovery` searches for clips that crash workers.
"""

from collections.abc import Callable, Sequence

from curation import console
from curation.annotate import metrics
from curation.annotate.workers import FusedWorker
from curation.config.run import RunConfig
from curation.engine import executors, first_clips, recovery
from curation.engine.early_stop import EarlyStop
from curation.errors import RunError, TooManyFailedError
from curation.models import run_models
from curation.run import driver_state, footer_cache, plan
from curation.run import evidence as run_evidence
from curation.run.layout import RunFolder
from curation.run.record import check_same_run, require_run_record

POLL_INTERVAL_S = 1.0


def annotate_run(
    config: RunConfig,
    on_progress: Callable[[int, int], None],
    fused_worker: type = FusedWorker,
    on_start: Callable[[str], None] = lambda preparation: None,
) -> run_evidence.ShardCounts:
    """Write the evidence of every planned shard that has none, and count the outcomes of all clips.

    Args:
        config: the configuration of the run.
        on_progress: called with the number of clips with evidence, and the number of planned clips.
        fused_worker: the worker class of `placement: fused`; simulations pass their own class.
        on_start: called before workers start, with a text about what happens before the first clip
            is annotated.

    Raises:
        InputError: the folder belongs to another run, or the machine or cluster is too small.
        FirstClipsFailedError: the first clips all failed in the same way, now or in the previous
            command.
        TooManyFailedError: all shards are annotated, and more clips failed than `max_error_share`
            allows.
        RunError: some shards could not be annotated; the other shards are annotated.
    """
    executors.require_executor(config)
    run = RunFolder.from_config(config)
    record = require_run_record(run)
    check_same_run(run, record, config, run_models.build_run_models(config).identities)
    planned = plan.plan_from_record(record)
    done = set(run_evidence.list_done_shards(run))
    todo = [shard for shard in range(planned.shards) if shard not in done]
    if warning := driver_state.describe_other_driver(run):
        console.stderr.print(warning)
    stops_early = bool(todo) and config.max_error_share < 1
    early_stop = EarlyStop(config, run, record)
    if stops_early:
        early_stop.require_change()
    with driver_state.record_driver_state(run) as heartbeat:
        tracker = ProgressTracker(run, planned, todo)
        if todo:
            on_start(executors.describe_preparation(config))
            with executors.open_executor(config, fused_worker) as executor:

                def poll() -> None:
                    heartbeat()
                    clips = tracker.count_clips_done()
                    on_progress(clips, planned.clips)
                    executor.meter.record(metrics.CLIPS_DONE, clips)
                    executor.meter.record(metrics.CLIPS_PLANNED, planned.clips)

                first = first_clips.count_first_clips(run, todo) if stops_early else {}
                tasks = first_clips.build_tasks(planned, todo, first)
                holding = first_clips.HoldingExecutor(executor, run, first, early_stop)
                with console.poll_in_background(poll, POLL_INTERVAL_S):
                    errors = recovery.run_and_recover(run, holding, tasks)
            _require_all_done(planned, run_evidence.list_done_shards(run), errors)
            early_stop.clear()
            run_evidence.delete_held_shards(run)
        on_progress(tracker.count_clips_done(), planned.clips)
        counts = _count_all(run)
        _require_few_failed(counts, config.max_error_share)
        return counts


class ProgressTracker:
    """Counts the clips with evidence by listing the evidence, and fills the run's footer cache."""

    def __init__(self, run: RunFolder, planned: plan.Plan, todo: Sequence[int]) -> None:
        """`todo`: the shards without evidence at the start."""
        self._run = run
        self._planned = planned
        self._cache = footer_cache.FooterCacheWriter(run, planned.shards, todo)

    def count_clips_done(self) -> int:
        """Count the clips of all shards with evidence."""
        evidence = run_evidence.list_evidence_files(self._run)
        self._cache.write_full_parts(evidence)
        return sum(self._planned.shard_size(shard) for shard in evidence)


def _count_all(run: RunFolder) -> run_evidence.ShardCounts:
    footers = footer_cache.read_footers(run, run_evidence.list_evidence_files(run))
    return run_evidence.sum_counts([footer.counts for footer in footers.values()])


def _require_few_failed(counts: run_evidence.ShardCounts, max_error_share: float) -> None:
    failed = sum(counts.failures.values())
    with_audio = counts.ok + failed
    if failed <= max_error_share * with_audio:
        return
    kinds = ", ".join(f"{clips} {kind}" for kind, clips in counts.failures.items())
    raise TooManyFailedError(
        f"{failed} of {with_audio} clips with audio failed ({failed / with_audio:.1%}), more than "
        f"max_error_share: {max_error_share:g}: {kinds}. All evidence is written; nothing is "
        "selected. tagscribe report shows examples, tagscribe select takes the other clips, and a "
        "higher max_error_share lets the same command go on"
    )


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
