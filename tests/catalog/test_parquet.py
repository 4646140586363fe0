"""Parquet with the audio inside: listed without reading it, fetched a row group at a time."""

import json
import threading
from pathlib import Path

import datasets
import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.catalog import clip_bytes, parquet
from curation.catalog.catalog import list_clips
from curation.catalog.listing import CatalogListing
from curation.config.catalog import ParquetConfig
from curation.errors import InputError
from curation.storage.files import Storage

AUDIO = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def write(path: Path, rows: list[tuple], group: int = 2) -> None:
    """Rows are (id, bytes or None, path, classes)."""
    ids, data, paths, labels = zip(*rows, strict=True)
    table = pa.table(
        {
            "video_id": list(ids),
            "audio": pa.array(
                [{"bytes": d, "path": p} for d, p in zip(data, paths, strict=True)], AUDIO
            ),
            "labels": pa.array(list(labels), pa.list_(pa.string())),
            "human_labels": pa.array([["Speech"]] * len(ids)),
        }
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=group)


def some_rows(prefix: str, count: int) -> list[tuple]:
    return [
        (f"{prefix}{index}", f"sound {prefix}{index}".encode(), "x.flac", ["/m/09x0r"])
        for index in reversed(range(count))
    ]


def sounds(listing: CatalogListing) -> list[bytes]:
    return [
        clip_bytes.read_clip_bytes(Storage(), uri)[0] for uri in listing.clips["uri"].to_pylist()
    ]


def test_the_hugging_face_layout(tmp_path):
    write(tmp_path / "data" / "b.parquet", some_rows("b", 5))
    write(tmp_path / "data" / "a.parquet", some_rows("a", 3))
    listing = list_clips(Storage(), ParquetConfig(data=str(tmp_path / "data")))
    ids = listing.clips["clip_id"].to_pylist()
    assert ids == ["a2", "a1", "a0", "b4", "b3", "b2", "b1", "b0"], "in the order of the files"
    assert sounds(listing) == [f"sound {each}".encode() for each in ids]
    assert listing.clips["uri"][0].as_py() == (
        f"{tmp_path}/data/a.parquet#row=000000000&column=audio"
    )
    assert listing.clips["tags"][0].as_py()[0]["name"] == "Speech"
    assert listing.summary() == "8 clips listed: 8 found, 0 missing (0.0 %)"


def test_columns_of_other_names_and_display_names(tmp_path):
    write(tmp_path / "a.parquet", some_rows("a", 1))
    renamed = pq.read_table(tmp_path / "a.parquet").rename_columns(
        ["my id", "my & sound", "mids", "names"]
    )
    pq.write_table(renamed, tmp_path / "a.parquet")
    config = ParquetConfig(
        data=str(tmp_path / "a.parquet"), id="my id", audio="my & sound", tags="names"
    )
    assert sounds(list_clips(Storage(), config)) == [b"sound a0"]


def test_where_there_are_no_bytes_the_path_is_followed_within_the_folder(tmp_path, sound):
    (tmp_path / "data" / "clips").mkdir(parents=True)
    (tmp_path / "data" / "clips" / "one.flac").write_bytes(sound)
    (tmp_path / "secret.flac").write_bytes(sound)
    rows = [
        ("one", None, "clips/one.flac", None),
        ("two", None, "clips/two.flac", []),
        ("three", b"sound three", "x.flac", []),
        ("four", None, "../secret.flac", []),
        ("five", None, None, []),
    ]
    write(tmp_path / "data" / "a.parquet", rows)
    listing = list_clips(Storage(), ParquetConfig(data=str(tmp_path / "data")))
    uris = dict(
        zip(listing.clips["clip_id"].to_pylist(), listing.clips["uri"].to_pylist(), strict=True)
    )
    assert uris["one"] == str(tmp_path / "data" / "clips" / "one.flac")
    assert [uris[name] for name in ("two", "four", "five")] == [None] * 3
    assert clip_bytes.read_clip_bytes(Storage(), uris["three"])[0] == b"sound three"
    assert listing.coverage.missing == 3


def test_listing_does_not_read_the_audio(tmp_path):
    write(tmp_path / "a.parquet", [("a", bytes(2_000_000), "a.wav", [])])
    with pq.ParquetFile(tmp_path / "a.parquet") as file:
        column = file.metadata.row_group(0).column(1)
        assert column.path_in_schema == "audio.bytes" and column.statistics.null_count == 0
        assert parquet._has_bytes(file, 0, "audio") is True


def test_threads_that_want_one_row_group_read_it_once(tmp_path, monkeypatch):
    write(tmp_path / "a.parquet", some_rows("a", 8), group=8)
    uris = list_clips(Storage(), ParquetConfig(data=str(tmp_path))).clips["uri"].to_pylist()
    reads = []
    read_group = clip_bytes._read_group
    monkeypatch.setattr(
        clip_bytes, "_read_group", lambda *key: reads.append(key) or read_group(*key)
    )
    found: list[bytes | None] = [None] * len(uris)

    def work(slot: int) -> None:
        found[slot] = clip_bytes.read_clip_bytes(Storage(), uris[slot])[0]

    threads = [threading.Thread(target=work, args=(slot,)) for slot in range(len(uris))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [f"sound a{index}".encode() for index in reversed(range(8))]
    assert len(reads) == 1


def test_the_row_groups_kept_are_bounded_in_bytes(tmp_path):
    rows = [(f"{index}", bytes([index]) * 1000, "", []) for index in range(10)]
    write(tmp_path / "a.parquet", rows, group=1)
    groups = clip_bytes._RowGroups(max_bytes=3500)
    for index in range(10):
        data = groups.get(Storage(), str(tmp_path / "a.parquet"), index, "audio")[0].as_py()
        assert data == bytes([index]) * 1000
    assert [key[2] for key in groups._groups] == [7, 8, 9]
    small = clip_bytes._RowGroups(max_bytes=10)
    assert len(small.get(Storage(), str(tmp_path / "a.parquet"), 4, "audio")) == 1
    assert len(small._groups) == 1


def test_a_read_that_failed_is_tried_again(tmp_path):
    uri = clip_bytes.parquet_row_uri(str(tmp_path / "a.parquet"), 0, "audio")
    with pytest.raises(FileNotFoundError):
        clip_bytes.read_clip_bytes(Storage(), uri)
    write(tmp_path / "a.parquet", some_rows("a", 1))
    assert clip_bytes.read_clip_bytes(Storage(), uri) == (
        b"sound a0",
        f"{tmp_path}/a.parquet row 0",
    )


def test_a_row_that_is_not_there(tmp_path):
    write(tmp_path / "a.parquet", some_rows("a", 1))
    with pytest.raises(OSError, match="a.parquet has 1 rows, and no row 7"):
        clip_bytes.read_clip_bytes(
            Storage(), clip_bytes.parquet_row_uri(str(tmp_path / "a.parquet"), 7, "audio")
        )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"id": "name"}, "no column 'name' among video_id, audio, labels, human_labels"),
        ({"audio": "labels"}, "column 'labels' is list.*; expected a struct of bytes and path"),
        ({"tags": "video_id"}, "column 'video_id' is string; expected a list of class ids"),
    ],
)
def test_columns_that_do_not_fit(tmp_path, options, message):
    write(tmp_path / "a.parquet", some_rows("a", 1))
    with pytest.raises(InputError, match=f"a.parquet: {message}"):
        list_clips(Storage(), ParquetConfig(data=str(tmp_path), **options))


def test_rows_that_are_wrong_are_named(tmp_path):
    write(tmp_path / "a.parquet", [*some_rows("a", 3), ("b", b"", "", ["/m/nothing"])])
    with pytest.raises(
        InputError, match="'/m/nothing' in 1 clip, first in .*a.parquet row 3: expected"
    ):
        list_clips(Storage(), ParquetConfig(data=str(tmp_path)))
    write(tmp_path / "a.parquet", [*some_rows("a", 3), *some_rows("a", 1)])
    with pytest.raises(InputError, match=r"'a0' \(.*a.parquet row 2, .*a.parquet row 3\)"):
        list_clips(Storage(), ParquetConfig(data=str(tmp_path)))
    (tmp_path / "a.parquet").write_bytes(b"not Parquet")
    with pytest.raises(InputError, match="a.parquet: not a whole Parquet file"):
        list_clips(Storage(), ParquetConfig(data=str(tmp_path)))
    with pytest.raises(InputError, match="no .parquet files there, .*; found nothing"):
        (tmp_path / "empty").mkdir()
        list_clips(Storage(), ParquetConfig(data=str(tmp_path / "empty")))


def test_a_bucket_serves_as_well_as_a_folder(tmp_path, s3_folder, sound):
    rows = [*some_rows("a", 3), ("beside", None, "beside.flac", ["Dog"])]
    write(tmp_path / "a.parquet", rows)
    Storage().put(f"{s3_folder}/data/a.parquet", (tmp_path / "a.parquet").read_bytes())
    Storage().put(f"{s3_folder}/data/beside.flac", sound)
    listing = list_clips(Storage(), ParquetConfig(data=f"{s3_folder}/data"))
    by_id = dict(zip(listing.clips["clip_id"].to_pylist(), sounds(listing), strict=True))
    assert by_id == {"a0": b"sound a0", "a1": b"sound a1", "a2": b"sound a2", "beside": sound}


def save(path: Path, **columns: object) -> None:
    """A file of two clips with audio, and these columns."""
    audio = pa.array([{"bytes": b"one", "path": None}, {"bytes": b"two", "path": "x"}], AUDIO)
    pq.write_table(pa.table({"video_id": ["a", "b"], "audio": audio, **columns}), path)


def tag_names(listing: CatalogListing) -> list[list[str]]:
    return [[tag["name"] for tag in tags] for tags in listing.clips["tags"].to_pylist()]


def test_a_file_that_polars_wrote(tmp_path):
    frame = polars.DataFrame(
        {
            "video_id": ["a", "b"],
            "audio": [{"bytes": b"one", "path": "a.wav"}, {"bytes": b"two", "path": None}],
            "labels": [["Dog", None], None],
        }
    )
    frame.write_parquet(tmp_path / "d.parquet")
    listing = list_clips(Storage(), ParquetConfig(data=str(tmp_path)))
    assert sounds(listing) == [b"one", b"two"]
    assert tag_names(listing) == [["Dog"], []]


@pytest.mark.parametrize(
    "labels",
    [
        pa.array([["Dog", None, ""], []], pa.large_list(pa.large_string())),
        pa.array([["Dog", None], None], pa.list_(pa.string(), 2)),
        pa.array([["Dog"], None], pa.list_(pa.dictionary(pa.int32(), pa.string()))),
        pa.array([[{"mid": "/m/0bt9lr", "name": "Dog"}], []]),
    ],
)
def test_lists_of_labels_of_any_type(tmp_path, labels):
    save(tmp_path / "a.parquet", labels=labels)
    assert tag_names(list_clips(Storage(), ParquetConfig(data=str(tmp_path)))) == [["Dog"], []]


def test_a_column_without_any_label(tmp_path):
    save(tmp_path / "a.parquet", labels=pa.nulls(2))
    assert tag_names(list_clips(Storage(), ParquetConfig(data=str(tmp_path)))) == [[], []]


def test_published_tags_keep_confidence_and_origin(tmp_path):
    tag = {"mid": "/m/0bt9lr", "name": "Dog", "confidence": 0.25, "origin": "predicted"}
    save(tmp_path / "a.parquet", labels=pa.array([[tag], [{**tag, "confidence": 0.5}, tag]]))
    tags = list_clips(Storage(), ParquetConfig(data=str(tmp_path))).clips["tags"].to_pylist()
    assert tags == [[tag], [{**tag, "confidence": 0.5}]]


@pytest.mark.parametrize("several", [True, False])
def test_numbers_of_the_classes_that_the_file_names(tmp_path, several):
    classes = datasets.ClassLabel(names=["Speech", "Dog", "Cat"])
    features = datasets.Features(
        {
            "video_id": datasets.Value("string"),
            "audio": {"bytes": datasets.Value("binary"), "path": datasets.Value("string")},
            "labels": datasets.List(classes) if several else classes,
        }
    )
    rows = {
        "video_id": ["a", "b"],
        "audio": [{"bytes": b"one", "path": None}, {"bytes": b"two", "path": None}],
        "labels": [[1, 2], []] if several else [1, -1],
    }
    datasets.Dataset.from_dict(rows, features).to_parquet(tmp_path / "a.parquet")
    listing = list_clips(Storage(), ParquetConfig(data=str(tmp_path)))
    assert tag_names(listing) == [["Dog", "Cat"] if several else ["Dog"], []]


def test_numbers_without_names_and_out_of_range(tmp_path):
    save(tmp_path / "a.parquet", labels=pa.array([[], [0, 72]]))
    expected = "a.parquet row 1: found the number 0 in 'labels', and no names of classes"
    with pytest.raises(InputError, match=expected):
        list_clips(Storage(), ParquetConfig(data=str(tmp_path)))
    features = {"labels": [{"names": ["Dog"], "_type": "ClassLabel"}]}  # as of before 2024
    table = pq.read_table(tmp_path / "a.parquet").replace_schema_metadata(
        {"huggingface": json.dumps({"info": {"features": features}})}
    )
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(InputError, match="row 1: found the number 72 in 'labels'; .* 1 classes"):
        list_clips(Storage(), ParquetConfig(data=str(tmp_path)))


def test_a_damaged_file_is_named(tmp_path):
    write(tmp_path / "whole.parquet", some_rows("a", 200), group=50)
    data = (tmp_path / "whole.parquet").read_bytes()
    (tmp_path / "whole.parquet").unlink()
    for start in range(4, len(data) - 1000, 997):
        changed = bytearray(data)
        changed[start : start + 900] = bytes(value ^ 0xA5 for value in data[start : start + 900])
        (tmp_path / "a.parquet").write_bytes(changed)
        try:
            listing = list_clips(Storage(), ParquetConfig(data=str(tmp_path)))
        except InputError as error:
            assert "a.parquet" in str(error)
        else:  # the damage is in what a listing does not read
            assert listing.coverage.listed == 200
    (tmp_path / "a.parquet").write_bytes(data[:-40])
    with pytest.raises(InputError, match="a.parquet: not a whole Parquet file"):
        list_clips(Storage(), ParquetConfig(data=str(tmp_path)))


def test_text_that_is_not_utf8_is_named(tmp_path):
    raw = pa.array([b"a", b"\xe9"], pa.binary()).view(pa.string())
    save(tmp_path / "a.parquet", labels=pa.nulls(2))
    table = pq.read_table(tmp_path / "a.parquet").set_column(0, "video_id", raw)
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(InputError, match="a.parquet row group 0: text that is not UTF-8"):
        list_clips(Storage(), ParquetConfig(data=str(tmp_path)))


@pytest.mark.parametrize(
    ("ids", "message"),
    [([None, "b"], "row 0: no id"), ([0.5, 1.5], r"row 0: found 0.5 in 'video_id'; expected")],
)
def test_ids_that_are_none(tmp_path, ids, message):
    save(tmp_path / "a.parquet", labels=pa.nulls(2))
    table = pq.read_table(tmp_path / "a.parquet").set_column(0, "video_id", pa.array(ids))
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(InputError, match=f"a.parquet {message}"):
        list_clips(Storage(), ParquetConfig(data=str(tmp_path)))


def test_an_id_may_be_the_number_0_and_the_name_of_a_file_in_capitals(tmp_path):
    save(tmp_path / "a.parquet", labels=pa.nulls(2))
    table = pq.read_table(tmp_path / "a.parquet").set_column(0, "video_id", pa.array([0, 1]))
    (tmp_path / "a.parquet").unlink()
    pq.write_table(table, tmp_path / "B.PARQUET")
    listing = list_clips(Storage(), ParquetConfig(data=str(tmp_path)))
    assert listing.clips["clip_id"].to_pylist() == ["0", "1"]
    assert sounds(listing) == [b"one", b"two"]


def test_what_lies_beside_is_counted(tmp_path):
    save(tmp_path / "a.parquet", labels=pa.nulls(2))
    for name in ("README.md", "x.wav", "y.txt", "z.txt"):
        (tmp_path / name).write_bytes(b"")
    coverage = list_clips(Storage(), ParquetConfig(data=str(tmp_path))).coverage
    assert (coverage.unlisted_files, coverage.unread_files) == (1, {".txt": 2, ".md": 1})
