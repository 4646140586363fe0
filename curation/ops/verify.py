"""Checks the invariants of a run's folder: every clip occurs once, every pair has its evidence.

Each finding is one sentence that names the shard or the pair. An empty list means that the run is
valid.
"""

from collections.abc import Callable, Iterator

import pyarrow as pa

from curation import table
from curation.run import evidence as run_evidence
from curation.run import layout, plan
from curation.run.layout import RunFolder
from curation.run.record import require_run_record
from curation.schema import EVIDENCE_SCHEMA, OK

MAX_FINDINGS_PER_SHARD = 5
Pair = tuple[str, str]


def verify_run(run: RunFolder, on_shard: Callable[[int, int], None] | None = None) -> list[str]:
    """Check the plan, evidence and table of a run. Return the findings; empty if there are none."""
    record = require_run_record(run)
    planned = plan.plan_from_record(record)
    done = set(run_evidence.list_done_shards(run))
    beyond = sorted(shard for shard in done if shard >= planned.shards)
    findings = [f"shard {shard}: evidence beyond the plan" for shard in beyond]
    findings += _check_plan(run, planned)
    captioned: set[Pair] = set()
    for shard in range(planned.shards):
        if shard in done:
            evidence = run_evidence.read_evidence_shard(run, shard)
            findings += _check_shard(plan.read_plan_shard(run, shard), evidence, shard)
            captioned.update(_pairs(run_evidence.flatten_candidates(evidence)))
        else:
            findings.append(f"shard {shard}: no evidence; tagscribe annotate writes it")
        if on_shard:
            on_shard(shard + 1, planned.shards)
    return findings + _check_table(run, captioned)


def _check_plan(run: RunFolder, planned: plan.Plan) -> list[str]:
    columns = ["clip_id", "uri", "start_s", "end_s", "tags"]
    clips = pa.concat_tables(plan.read_plan_clips(run, columns))
    if plan.hash_plan(clips, planned.shard_clips) != planned.hash:
        return ["plan/: its clips do not have the hash that run.json names; it was changed"]
    return []


def _check_shard(clips: pa.Table, evidence: pa.Table, shard: int) -> list[str]:
    if not evidence.schema.equals(EVIDENCE_SCHEMA):
        return [f"shard {shard}: its columns are not those of evidence"]
    if evidence["clip_id"].to_pylist() != clips["clip_id"].to_pylist():
        return [f"shard {shard}: its clips are not those of the plan, in its order"]
    findings = []
    for row in evidence.select(["clip_id", "outcome", "candidates", "error"]).to_pylist():
        whole = row["candidates"] and not row["error"]
        failed = row["error"] and not row["candidates"]
        if not (whole if row["outcome"] == OK else failed):
            findings.append(
                f"shard {shard}, clip {row['clip_id']}: outcome {row['outcome']} with "
                f"{len(row['candidates'])} candidates and error {row['error']}"
            )
    return findings[:MAX_FINDINGS_PER_SHARD]


def _pairs(rows: pa.Table) -> Iterator[Pair]:
    return zip(rows["clip_id"].to_pylist(), rows["caption"].to_pylist(), strict=True)


def _check_table(run: RunFolder, captioned: set[Pair]) -> list[str]:
    uri = layout.table_uri(run.uri)
    if table.read_newest_version(run.storage, uri) is None:
        return []
    pairs = list(_pairs(table.read_pairs(run.storage, uri, columns=["clip_id", "caption"])))
    unbacked = [pair for pair in pairs if pair not in captioned]
    findings = [
        f"table: clip {clip_id}, caption {caption!r}: in no evidence"
        for clip_id, caption in unbacked[:MAX_FINDINGS_PER_SHARD]
    ]
    if len(set(pairs)) != len(pairs):
        findings.append(f"table: {len(pairs) - len(set(pairs))} pairs stand in it twice")
    return findings
