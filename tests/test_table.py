"""The curated table: rows are read in one order, however Delta laid them out in files."""

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
