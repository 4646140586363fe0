"""All that a report tells of a run, read from its folder in one pass over the evidence."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from curation.calibration.annotated import Part
from curation.config.run import RunConfig
from curation.errors import InputError
from curation.ops import status as statuses
from curation.report import shard, shuffled
from curation.report.ends import Ends
from curation.report.errors import Errors
from curation.report.scores import Scores
from curation.report.shuffled import Shuffled
from curation.report.speed import Speed, speed
from curation.report.strata import Drawn, Strata
from curation.report.yields import Yields
from curation.run import config_file, footer_cache
from curation.run import evidence as run_evidence
from curation.run.record import RunRecord, require_run_record
from curation.storage import files as storage


@dataclass(frozen=True, eq=False)
class Gathered:
    """A run, as its folder tells it.

    Attributes:
        lineage: what the newest version of the table was made from; empty where there is none.
        strata: clips of each group from which those to hear were drawn.
        hours: of each pool's workers.
    """

    record: RunRecord
    config: RunConfig
    status: statuses.Status
    lineage: dict[str, Any]
    ends: Ends
    errors: Errors
    scores: Scores
    yields: Yields
    drawn: list[Drawn]
    strata: dict[str, int]
    shuffled: dict[Part, Shuffled]
    speed: Speed | None
    hours: dict[str, float]


def gather(run_uri: str, clips: int, on_shard: Callable[[int, int], None]) -> Gathered:
    """Read a run.

    Args:
        run_uri: the run's folder.
        clips: size of the sample to hear.
        on_shard: called with shards read and shards in all.

    Raises InputError where there is no run, no evidence, or decisions that do not fit it.
    """
    record = require_run_record(run_uri)
    # The folder may have been moved since; all else is as the run was told.
    config = config_file.parse_run_config({**record.config, "run": run_uri}, f"{run_uri}/run.json")
    storage.configure(config.storage)
    status = statuses.status(run_uri, config)
    evidence = {
        s: f for s, f in run_evidence.list_evidence_files(run_uri).items() if s < record.shards
    }
    if not evidence:
        raise InputError(f"{run_uri}: no evidence yet; run tagscribe annotate first")
    lineage = status.version.lineage if status.version else {}
    ends, errors, scores, yields = Ends(), Errors(), Scores(), Yields()
    strata = Strata(config.seed, clips)
    read = shard.read(run_uri, list(evidence), lineage.get("selection"))
    for done, each in enumerate(read, 1):
        for part in (ends, errors, scores, yields, strata):
            part.add(each)
        on_shard(done, len(evidence))
    footers = footer_cache.read_footers(run_uri, evidence).values()
    return Gathered(
        record=record,
        config=config,
        status=status,
        lineage=lineage,
        ends=ends,
        errors=errors,
        scores=scores,
        yields=yields,
        drawn=strata.draw(),
        strata=strata.clips_of,
        shuffled=shuffled.shuffled(config),
        speed=speed(footers),
        hours=statuses.worker_hours(span for each in footers for span in each.spans),
    )
