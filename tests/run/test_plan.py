"""The plan: the same clips give the same shards and the same hash, whatever else happens."""

from pathlib import Path

import pyarrow as pa
import pytest

from curation.errors import InputError
from curation.run import catalog_plan, layout, plan
from curation.run.config_file import parse_run_config
from curation.run.layout import RunFolder
from curation.run.record import require_run_record, write_run_record
from curation.schema import CLIP_SCHEMA
from tests.support.runs import MODELS


def listing(clips: int, confidence: float = 1.0) -> pa.Table:
    rows = [
        {
            "clip_id": f"clip{index:04d}",
            "uri": None if index % 7 == 0 else f"/sounds/{index}.wav",
            "start_s": 1.5 if index % 2 else None,
            "end_s": None,
            "tags": [
                {"mid": f"/m/{tag}", "name": "x", "confidence": confidence, "origin": "human"}
                for tag in range(index % 3)
            ],
        }
        for index in range(clips)
    ]
    return pa.Table.from_pylist(rows, schema=CLIP_SCHEMA)


def write_record(folder: Path, planned: plan.Plan) -> bool:
    """Create run.json of a plan that is written; whether it is this one's."""
    sections = {"run": str(folder), "catalog": {"kind": "folder", "audio": "/sounds"}}
    config = parse_run_config(sections, "test")
    record = catalog_plan.build_run_record(config, planned, MODELS)
    return write_run_record(RunFolder(str(folder)), record)


def plan_files(folder: Path) -> list[str]:
    return sorted(path.name for path in Path(layout.plan_uri(str(folder))).iterdir())


def read_ids(folder: Path) -> list[str]:
    tables = plan.read_plan_clips(RunFolder(str(folder)), ["clip_id"])
    return [clip for table in tables for clip in table["clip_id"].to_pylist()]


def test_shards_hold_every_clip_once_in_order(tmp_path: Path) -> None:
    clips = listing(1000)
    planned = plan.build_plan(clips, shard_clips=7)
    plan.write_plan(RunFolder(str(tmp_path)), clips, planned)
    write_record(tmp_path, planned)
    shards = [
        plan.read_plan_shard(RunFolder(str(tmp_path)), shard) for shard in range(planned.shards)
    ]
    assert [shard.num_rows for shard in shards] == [
        planned.shard_size(shard) for shard in range(planned.shards)
    ]
    assert pa.concat_tables(shards).equals(clips)
    assert len(plan_files(tmp_path)) > 1
    assert read_ids(tmp_path) == clips["clip_id"].to_pylist()


def test_the_hash_does_not_depend_on_how_the_table_is_held() -> None:
    clips = listing(50)
    pieces = pa.concat_tables([clips.slice(0, 13), clips.slice(13)])
    assert plan.hash_plan(pieces, 8) == plan.hash_plan(clips, 8)


@pytest.mark.parametrize("other", [listing(49), listing(50, confidence=0.5)])
def test_the_hash_differs_for_other_clips_and_other_tags(other: pa.Table) -> None:
    assert plan.hash_plan(other, 8) != plan.hash_plan(listing(50), 8)


def test_the_hash_differs_for_other_shards() -> None:
    assert plan.hash_plan(listing(50), 8) != plan.hash_plan(listing(50), 9)


def test_missing_clips_are_planned_and_counted() -> None:
    planned = plan.build_plan(listing(50), 8)
    assert (planned.clips, planned.missing, planned.shards) == (50, 8, 7)


def test_a_catalog_without_clips_is_refused() -> None:
    with pytest.raises(InputError, match="lists no clips"):
        plan.build_plan(listing(0), 8)


def test_what_an_earlier_attempt_left_is_deleted_once_run_json_says_what_counts(
    tmp_path: Path,
) -> None:
    run = RunFolder(str(tmp_path))
    earlier, clips = listing(1000), listing(10)
    plan.write_plan(run, earlier, plan.build_plan(earlier, 7))
    left = plan_files(tmp_path)
    planned = plan.build_plan(clips, 7)
    plan.write_plan(run, clips, planned)
    assert set(left) < set(plan_files(tmp_path))
    assert write_record(tmp_path, planned)
    plan.delete_other_plans(run, require_run_record(run))
    assert plan_files(tmp_path) == [f"part-00000-{planned.hash[:12]}.parquet"]
    assert read_ids(tmp_path) == clips["clip_id"].to_pylist()


def test_two_drivers_that_plan_at_once_touch_no_file_of_each_other(tmp_path: Path) -> None:
    """The slower one writes another listing after run.json of the first, and while it is read."""
    run = RunFolder(str(tmp_path))
    first, second = listing(1000), listing(990)
    planned, late = plan.build_plan(first, 7), plan.build_plan(second, 7)
    plan.write_plan(run, first, planned)
    plan.write_plan(run, second, late)
    assert write_record(tmp_path, planned)
    written = {path: path.stat().st_mtime_ns for path in Path(layout.plan_uri(run.uri)).iterdir()}
    plan.write_plan(run, first, planned)
    plan.write_plan(run, second, late)
    assert not write_record(tmp_path, late)
    assert {path: path.stat().st_mtime_ns for path in written} == written
    plan.delete_other_plans(run, require_run_record(run))
    assert read_ids(tmp_path) == first["clip_id"].to_pylist()
    assert plan.read_plan_shard(run, 0).equals(first.slice(0, 7))
