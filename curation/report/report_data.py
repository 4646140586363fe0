"""Reads the data of a run's report from the run's folder, in one pass over the evidence."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from curation.calibration.run_pairs import ScorerRole
from curation.config.run import RunConfig
from curation.errors import InputError
from curation.ops import status as statuses
from curation.report import decided_shard, shuffled_pairs
from curation.report.error_counts import ErrorCounts
from curation.report.outcomes import ClipOutcomes
from curation.report.sampling import SampledClip, StratifiedSample
from curation.report.scores import CandidateScores
from curation.report.shuffled_pairs import ShuffledPairs
from curation.report.throughput import PoolThroughput, pool_throughput
from curation.report.yields import TagYields
from curation.run import evidence as run_evidence
from curation.run import footer_cache
from curation.run.layout import RunFolder
from curation.run.record import RunRecord, require_run_record
from curation.run.resolve import recorded_config


@dataclass(frozen=True, eq=False)
class ReportData:
    """The data of a run's report.

    Attributes:
        lineage: the lineage of the newest version of the table; empty if there is no table.
        stratum_clips: number of clips in each group from which examples are sampled.
        pool_hours: hours of each pool's workers.
    """

    record: RunRecord
    config: RunConfig
    status: statuses.RunStatus
    lineage: dict[str, Any]
    outcomes: ClipOutcomes
    errors: ErrorCounts
    scores: CandidateScores
    yields: TagYields
    sampled: list[SampledClip]
    stratum_clips: dict[str, int]
    shuffled: dict[ScorerRole, ShuffledPairs]
    throughput: PoolThroughput | None
    pool_hours: dict[str, float]


def collect_report_data(
    run: RunFolder, clips: int, on_shard: Callable[[int, int], None]
) -> ReportData:
    """Read the data of a run.

    Args:
        clips: number of example clips.
        on_shard: called with the number of shards read and the number of all shards.

    Raises InputError if there is no run, no evidence, or decisions that do not fit the evidence.
    """
    record = require_run_record(run)
    config = recorded_config(run, record)
    status = statuses.read_status(run, config)
    evidence = {s: f for s, f in run_evidence.list_evidence_files(run).items() if s < record.shards}
    if not evidence:
        raise InputError(f"{run.uri}: no evidence yet; run tagscribe annotate first")
    lineage = status.version.lineage if status.version else {}
    outcomes, errors, scores, yields = ClipOutcomes(), ErrorCounts(), CandidateScores(), TagYields()
    sample = StratifiedSample(config.seed, clips)
    read = decided_shard.read_decided_shards(run, list(evidence), lineage.get("selection"))
    for done, each in enumerate(read, 1):
        for part in (outcomes, errors, scores, yields, sample):
            part.add(each)
        on_shard(done, len(evidence))
    footers = footer_cache.read_footers(run, evidence).values()
    return ReportData(
        record=record,
        config=config,
        status=status,
        lineage=lineage,
        outcomes=outcomes,
        errors=errors,
        scores=scores,
        yields=yields,
        sampled=sample.select_clips(),
        stratum_clips=sample.stratum_clips,
        shuffled=shuffled_pairs.score_shuffled_pairs(config),
        throughput=pool_throughput(footers),
        pool_hours=statuses.worker_hours(span for each in footers for span in each.spans),
    )
