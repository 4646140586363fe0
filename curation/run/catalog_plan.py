"""Plans a run: lists the catalog, and writes plan/ and run.json into the run folder."""

from typing import Any

from curation.catalog.catalog import list_clips
from curation.config.run import RunConfig
from curation.errors import InputError
from curation.models import run_models
from curation.run import plan
from curation.run.layout import RunFolder
from curation.run.record import (
    RUN_FORMAT,
    RunRecord,
    check_same_run,
    hash_config,
    read_package_versions,
    read_run_record,
    require_run_record,
    write_run_record,
)
from curation.run.shard_size import resolve_shard_clips


def create_plan(config: RunConfig) -> tuple[plan.Plan, str]:
    """Plan a run, or check that its existing plan still equals the catalog's listing.

    run.json is created last and in one atomic step, so a folder without run.json has no plan.

    Returns:
        The plan, and the coverage of the catalog.

    Raises:
        InputError: the catalog is faulty, or the folder belongs to another configuration or to
            another plan.
    """
    models = run_models.build_run_models(config).identities
    run = RunFolder.from_config(config)
    record = read_run_record(run)
    if record:
        check_same_run(run, record, config, models)
    listing = list_clips(run.storage, config.catalog)
    if not listing.clips.num_rows:
        raise InputError(
            f"the catalog lists no clips; check its paths and file names ({listing.summary()})"
        )
    shard_clips = (
        record.shard_clips
        if record
        else resolve_shard_clips(config.annotate, listing.clips.num_rows)
    )
    planned = plan.build_plan(listing.clips, shard_clips)
    if record is None:
        plan.write_plan(run, listing.clips, planned)
        record = build_run_record(config, planned, models, listing.coverage.to_dict())
        if not write_run_record(run, record):
            record = require_run_record(run)
            check_same_run(run, record, config, models)
        plan.delete_other_plans(run, record)
    if record.plan_hash != planned.hash:
        raise InputError(
            f"{config.run} holds the plan of another listing: {record.clips} clips, "
            f"{record.missing} missing there; {planned.clips} clips, {planned.missing} missing "
            "now. Name another folder under run:, or go on with the old plan by tagscribe run"
        )
    return planned, listing.summary()


def build_run_record(
    config: RunConfig,
    planned: plan.Plan,
    models: dict[str, dict[str, str]],
    coverage: dict[str, Any] | None = None,
) -> RunRecord:
    """Build the content of run.json from a plan, its configuration, and the models' identities."""
    return RunRecord(
        format=RUN_FORMAT,
        config=config.model_dump(mode="json"),
        config_hash=hash_config(config, models, planned.shard_clips),
        plan_hash=planned.hash,
        clips=planned.clips,
        missing=planned.missing,
        shards=planned.shards,
        shard_clips=planned.shard_clips,
        models=models,
        versions=read_package_versions(),
        coverage=coverage or {},
    )
