"""A planned run annotated in this process, without Ray, by the worker of placement fused."""

from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa

from curation.annotate import metrics
from curation.annotate.task import Task
from curation.annotate.workers import FusedWorker
from curation.config.run import RunConfig
from curation.run import catalog_plan, evidence
from curation.run.layout import RunFolder


def annotate_in_process(
    config: RunConfig, shards_at_once: int = 1, tally: metrics.InMemoryMeter | None = None
) -> pa.Table:
    """Plan and annotate a run; its evidence, shard by shard."""
    planned, _ = catalog_plan.create_plan(config)
    counted = tally or metrics.InMemoryMeter()
    worker = FusedWorker(config, lambda: counted)
    tasks = [Task(shard, planned.shard_size(shard)) for shard in range(planned.shards)]
    with ThreadPoolExecutor(shards_at_once) as pool:
        done = list(pool.map(worker, [{"task": task.to_json()} for task in tasks]))
    assert [row["error"] for row in done] == [""] * planned.shards
    return pa.concat_tables(
        evidence.read_evidence_shards(RunFolder.from_config(config), list(range(planned.shards)))
    )
