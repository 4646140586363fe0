"""The curated table: rows are read in one order, however Delta laid them out in files."""

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from curation import table
from curation.errors import InputError
from curation.storage.files import Storage

ROWS = [("b", 1), ("a", 2), ("c", 1), ("a", 1)]


def of(rows: list[tuple[str, int]]) -> pa.Table:
    return pa.table(
        {
            "clip_id": [clip_id for clip_id, _ in rows],
            "rank": pa.array([rank for _, rank in rows], pa.int32()),
            "caption": [f"{clip_id}{rank}" for clip_id, rank in rows],
        }
    )


def test_rows_of_several_files_are_read_by_clip_and_rank(tmp_path: Path) -> None:
    for row in ROWS:
        write_deltalake(str(tmp_path), of([row]), mode="append")
    assert len(table.open_table(Storage(), str(tmp_path)).file_uris()) == len(ROWS)
    assert table.read_pairs(Storage(), str(tmp_path)).equals(of(sorted(ROWS)))


def test_columns_are_read_in_the_same_order_alone(tmp_path: Path) -> None:
    write_deltalake(str(tmp_path), of(ROWS))
    captions = table.read_pairs(Storage(), str(tmp_path), columns=["caption"])
    assert captions.column_names == ["caption"]
    assert captions["caption"].to_pylist() == ["a1", "a2", "b1", "c1"]


def test_a_version_without_pairs_is_read_as_an_empty_table(tmp_path: Path) -> None:
    write_deltalake(str(tmp_path), of([]))
    assert table.read_pairs(Storage(), str(tmp_path), columns=["caption"]).to_pydict() == {
        "caption": []
    }


def test_versions_whose_log_was_removed_are_not_listed(tmp_path: Path) -> None:
    for row in ROWS:
        write_deltalake(str(tmp_path), of([row]), mode="append")
    DeltaTable(str(tmp_path), version=2).create_checkpoint()
    for version in (0, 1):
        (tmp_path / "_delta_log" / f"{version:020d}.json").unlink()
    with pytest.raises(InputError, match="cannot open version 1"):
        table.open_table(Storage(), str(tmp_path), 1)
    versions = table.list_table_versions(Storage(), str(tmp_path))
    assert [(each.version, each.rows) for each in versions] == [(2, 3), (3, 4)]


def test_no_table_and_no_such_version_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no curated table here; tagscribe select makes one"):
        table.read_pairs(Storage(), str(tmp_path / "none"))
    write_deltalake(str(tmp_path), of(ROWS))
    with pytest.raises(InputError, match="cannot open version 7"):
        table.read_pairs(Storage(), str(tmp_path), version=7)


@pytest.mark.parametrize("exists", [False, True])
@pytest.mark.parametrize("policies", [("a", "a"), ("a", "b")])
def test_two_commits_at_once_never_mix_their_rows(
    tmp_path: Path, policies: tuple[str, str], exists: bool
) -> None:
    rows = of(ROWS)
    first = 0
    if exists:
        table.commit_table(Storage(), str(tmp_path), rows.schema, rows.to_batches, {"policy": "x"})
        first = 1
    both_write = threading.Barrier(2)

    def commit(policy: str) -> table.TableVersion:
        attempts = itertools.count()

        def batches() -> list[pa.RecordBatch]:
            # Both have read the newest version before either of them commits.
            if next(attempts) == 0:
                both_write.wait(timeout=60)
            return rows.to_batches()

        lineage = {"policy": policy}
        return table.commit_table(Storage(), str(tmp_path), rows.schema, batches, lineage)

    with ThreadPoolExecutor() as threads:
        committed = list(threads.map(commit, policies))
    expected = [first + number for number in range(len(set(policies)))]
    assert sorted({each.version for each in committed}) == expected
    for version in expected:
        assert table.read_pairs(Storage(), str(tmp_path), version).equals(of(sorted(ROWS)))
