"""Splits and files: every row once, all rows of a clip together, no file larger than it may be."""

import numpy as np
import pyarrow as pa

from curation.publish.splits import (
    SECONDS_PER_SHARD,
    SPLITS,
    DatasetShard,
    assign_splits,
    cut_shards,
)

CLIPS, CAPTIONS, SECONDS = 3000, 2, 10.0


def some_rows() -> pa.Table:
    clip_ids = np.repeat([f"clip{n:05d}" for n in range(CLIPS)], CAPTIONS)
    rows = len(clip_ids)
    return pa.table(
        {"clip_id": clip_ids, "start_s": np.zeros(rows), "end_s": np.full(rows, SECONDS)}
    )


def clips_of(rows: pa.Table, shard: DatasetShard) -> list[str]:
    found: list[str] = rows["clip_id"].take(pa.array(shard.rows)).to_pylist()
    return found


def test_every_row_is_in_one_file_beside_its_clips_others() -> None:
    rows = some_rows()
    cut = cut_shards(rows, 0.1, 0.1, audio=True)
    assert sorted(np.concatenate([shard.rows for shard in cut])) == list(range(rows.num_rows))
    files = [set(clips_of(rows, shard)) for shard in cut]
    assert sum(map(len, files)) == len(set.union(*files)) == CLIPS


def test_files_with_audio_exceed_their_share_by_no_more_than_a_clip() -> None:
    rows = some_rows()
    cut = cut_shards(rows, 0.1, 0.1, audio=True)
    assert all(len(shard.rows) * SECONDS <= SECONDS_PER_SHARD + CAPTIONS * SECONDS for shard in cut)
    train = [shard for shard in cut if shard.split == "train"]
    assert len(train) > 5
    assert [shard.label for shard in train[:2]] == [
        f"train-{index:05d}-of-{len(train):05d}" for index in (0, 1)
    ]
    assert len(cut_shards(rows, 0.1, 0.1, audio=False)) == len(SPLITS)


def test_shares_are_those_of_the_options() -> None:
    split = assign_splits(some_rows()["clip_id"], validation=0.2, test=0.1)
    shares = np.bincount(split, minlength=3) / len(split)
    assert np.allclose(shares, [0.7, 0.2, 0.1], atol=0.03)


def test_a_clip_keeps_its_split_when_others_come_and_validation_grows() -> None:
    clip_ids = some_rows()["clip_id"]
    before = assign_splits(clip_ids.slice(100, 50), validation=0.1, test=0.1)
    assert np.array_equal(before, assign_splits(clip_ids, validation=0.1, test=0.1)[100:150])
    grown = assign_splits(clip_ids.slice(100, 50), validation=0.3, test=0.1)
    assert np.array_equal(before == 2, grown == 2)


def test_a_split_without_clips_has_no_file() -> None:
    names = {shard.split for shard in cut_shards(some_rows(), 0.0, 0.0, audio=False)}
    assert names == {"train"}
