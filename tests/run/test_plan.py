"""The plan: the same clips give the same shards and the same hash, whatever else happens."""

from pathlib import Path

import pyarrow as pa
import pytest

from curation.errors import InputError
from curation.run import layout, plan
from curation.run.layout import RunFolder
from curation.schema import CLIP_SCHEMA


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


def test_shards_hold_every_clip_once_in_order(tmp_path: Path) -> None:
    clips = listing(1000)
    planned = plan.build_plan(clips, shard_clips=7)
    plan.write_plan(RunFolder(str(tmp_path)), clips, planned)
    shards = [
        plan.read_plan_shard(RunFolder(str(tmp_path)), shard) for shard in range(planned.shards)
    ]
    assert [shard.num_rows for shard in shards] == [
        planned.shard_size(shard) for shard in range(planned.shards)
    ]
    assert pa.concat_tables(shards).equals(clips)
    assert len(list(Path(layout.plan_uri(str(tmp_path))).iterdir())) > 1


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


def test_what_an_earlier_attempt_left_is_replaced(tmp_path: Path) -> None:
    for clips in (listing(1000), listing(10)):
        plan.write_plan(RunFolder(str(tmp_path)), clips, plan.build_plan(clips, 7))
    ids = [
        t["clip_id"].to_pylist()
        for t in plan.read_plan_clips(RunFolder(str(tmp_path)), ["clip_id"])
    ]
    assert sum(map(len, ids)) == 10
