"""The index of a table: its clips, their captions and places, however the table is laid out."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake

from curation import table
from curation.errors import InputError
from curation.storage.files import Storage
from tests.training.tables import commit, pair_rows, write_wavs
from training.data.table_index import TableIndex

CLIPS = 20


@pytest.fixture(scope="module")
def uris(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return write_wavs(tmp_path_factory.mktemp("wavs") / "wavs", CLIPS)


def test_clips_are_counted_once_and_stand_by_id_with_captions_by_rank(
    uris: list[str], tmp_path: Path
) -> None:
    rows = pair_rows(uris)
    shuffled = [rows[place] for place in np.random.default_rng(0).permutation(len(rows))]
    pairs = TableIndex.open(Storage(), commit(str(tmp_path), shuffled))
    assert len(pairs) == CLIPS
    assert pairs.clip_ids.to_pylist() == [f"clip{clip:03d}" for clip in range(CLIPS)]
    for clip in range(CLIPS):
        own = [row for row in rows if row["clip_id"] == pairs.clip_id(clip)]
        assert pairs.captions_of(clip) == [row["caption"] for row in own]
        assert pairs.ranks_of(clip).tolist() == [row["rank"] for row in own]
        assert pairs.clap_scores_of(clip).tolist() == pytest.approx([r["clap_score"] for r in own])
        assert pairs.duration_s[clip] == pytest.approx(own[0]["end_s"] - 0.1)
        place = pairs.audio_location(clip)
        assert (place.uri, place.start_s, place.embedded) == (own[0]["uri"], 0.1, False)
        assert place.end_s == pytest.approx(own[0]["end_s"])
    assert list(pairs.all_captions()) == [row["caption"] for row in rows]


def test_a_version_is_resolved_with_its_own_lineage(uris: list[str], tmp_path: Path) -> None:
    rows = pair_rows(uris)
    commit(str(tmp_path), rows[:4], policy=1)
    commit(str(tmp_path), rows, policy=2)
    newest, oldest = (
        TableIndex.open(Storage(), str(tmp_path)),
        TableIndex.open(Storage(), str(tmp_path), 0),
    )
    assert newest.tables == [
        {"uri": str(tmp_path), "version": 1, "lineage": {"made": "here", "policy": 2}}
    ]
    assert oldest.sources[0].lineage["policy"] == 1
    assert len(oldest) < len(newest) == CLIPS


def test_a_row_group_of_embedded_audio_holds_few_clips_and_no_clip_twice_in_its_footer(
    uris: list[str], tmp_path: Path
) -> None:
    uri = commit(str(tmp_path), pair_rows(uris), embed=True)
    [file] = table.open_table(Storage(), uri).file_uris()
    metadata = pq.ParquetFile(file).metadata
    rows = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
    assert max(rows) == 8 and sum(rows) == len(pair_rows(uris))
    # Short clips have 3 kB; with the ends of two of them for each group there would be far more.
    assert metadata.serialized_size < 3000 * len(rows)
    pairs = TableIndex.open(Storage(), uri)
    groups = np.repeat(np.arange(len(rows)), rows)
    first = np.cumsum([0, *(1 + clip % 3 for clip in range(CLIPS - 1))])
    assert np.array_equal(pairs.row_groups[:, None] == pairs.row_groups,
                          groups[first][:, None] == groups[first])  # fmt: skip
    assert pairs.audio_location(3).embedded and pairs.audio_location(3).end_s is None


def test_concatenated_tables_keep_their_order_places_and_captions(
    uris: list[str], tmp_path: Path
) -> None:
    rows = pair_rows(uris)
    embedded = TableIndex.open(Storage(), commit(str(tmp_path / "a"), rows[:15], embed=True))
    referenced = TableIndex.open(Storage(), commit(str(tmp_path / "b"), rows[15:]))
    parts = [referenced, embedded, embedded]
    both = TableIndex.concat(parts)
    assert [source.uri[-1] for source in both.sources] == ["b", "a", "a"]
    assert len(both) == sum(map(len, parts))
    clip = 0
    for part in parts:
        for own in range(len(part)):
            assert both.clip_id(clip) == part.clip_id(own)
            assert both.captions_of(clip) == part.captions_of(own)
            assert both.audio_location(clip) == part.audio_location(own)
            assert both.duration_s[clip] == part.duration_s[own]
            clip += 1
    assert list(both.all_captions()) == [text for part in parts for text in part.all_captions()]
    groups = [len(np.unique(part.row_groups)) for part in parts]
    assert sorted(np.unique(both.row_groups)) == list(range(sum(groups)))


def test_pickled_pairs_are_the_same_pairs(uris: list[str], tmp_path: Path) -> None:
    pairs = TableIndex.open(Storage(), commit(str(tmp_path), pair_rows(uris)))
    copy = pickle.loads(pickle.dumps(pairs))
    assert copy.tables == pairs.tables
    assert [copy.audio_location(clip) for clip in range(CLIPS)] == [
        pairs.audio_location(c) for c in range(CLIPS)
    ]
    assert list(copy.all_captions()) == list(pairs.all_captions())


def test_a_table_without_pairs_or_version_is_an_error(uris: list[str], tmp_path: Path) -> None:
    uri = commit(str(tmp_path / "empty"), [])
    with pytest.raises(InputError, match="version 0 holds no pairs; expected one at least"):
        TableIndex.open(Storage(), uri)
    with pytest.raises(InputError, match="cannot open version 4"):
        TableIndex.open(Storage(), uri, 4)
    with pytest.raises(InputError, match="no curated table here"):
        TableIndex.open(Storage(), str(tmp_path / "none"))


def write_foreign(uri: Path, rows: list[dict[str, Any]], without: str | None = None) -> str:
    """A Delta table as another program writes it, without this engine's schema and lineage."""
    pairs = pa.Table.from_pylist(rows)
    write_deltalake(str(uri), pairs.drop_columns([without]) if without else pairs)
    return str(uri)


def test_a_table_of_another_program_is_read(uris: list[str], tmp_path: Path) -> None:
    rows = [{**row, "tags": None, "guidance": None} for row in pair_rows(uris)]
    pairs = TableIndex.open(Storage(), write_foreign(tmp_path / "t", rows))
    assert len(pairs) == CLIPS and pairs.captions_of(0) == ["caption 1 of clip 0"]


@pytest.mark.parametrize("column", ["clip_id", "caption", "uri", "clap_score", "rank", "end_s"])
def test_a_null_in_a_table_of_another_program_is_named(
    column: str, uris: list[str], tmp_path: Path
) -> None:
    rows = [{**row, "tags": None, "guidance": None} for row in pair_rows(uris)]
    rows[3][column] = None
    uri = write_foreign(tmp_path / "t", rows)
    with pytest.raises(InputError, match=f"1 of {len(rows)} pairs have no {column}, the first in"):
        TableIndex.open(Storage(), uri)


def test_a_column_that_is_not_there_is_named(uris: list[str], tmp_path: Path) -> None:
    rows = [{**row, "tags": None, "guidance": None} for row in pair_rows(uris)]
    uri = write_foreign(tmp_path / "t", rows, without="rank")
    with pytest.raises(InputError, match="no column rank; a table of pairs has clip_id, caption"):
        TableIndex.open(Storage(), uri)
