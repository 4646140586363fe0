"""A folder of audio: with CSV, with JSONL, with nothing; and each fault of a row named."""

import json
from pathlib import Path

import pytest

from curation.catalog.catalog import list_clips
from curation.catalog.listing import CatalogListing
from curation.config.catalog import FolderConfig
from curation.errors import InputError
from curation.storage.files import Storage


def listed(
    tmp_path: Path, metadata: str | None, files: list[str], **options: object
) -> CatalogListing:
    folder = tmp_path / "audio"
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    folder.mkdir(exist_ok=True)
    uri = None
    if metadata is not None:
        path = tmp_path / ("clips.jsonl" if metadata.startswith("{") else "clips.csv")
        path.write_text(metadata)
        uri = str(path)
    return list_clips(Storage(), FolderConfig(audio=str(folder), metadata=uri, **options))


def error_of(tmp_path: Path, metadata: str | None, files: list[str], **options: object) -> str:
    with pytest.raises(InputError) as caught:
        listed(tmp_path, metadata, files, **options)
    return str(caught.value)


def names(row: dict) -> list[str]:
    return [tag["name"] for tag in row["tags"]]


def test_without_metadata_every_audio_file_is_an_untagged_clip(tmp_path):
    files = ["b.wav", "a/b.OGG", "a/#1 :: é.mp3", "notes.txt", ".hidden.wav"]
    rows = listed(tmp_path, None, files).clips.to_pylist()
    assert [row["clip_id"] for row in rows] == ["a/#1 :: é", "a/b", "b"]
    assert [row["uri"] for row in rows][0] == str(tmp_path / "audio" / "a/#1 :: é.mp3")
    assert all(row["tags"] == [] and row["start_s"] is None for row in rows)


def test_csv_with_columns_of_any_name(tmp_path):
    metadata = (
        "name,path,classes,from,to\n"
        'one,a.wav,"Bark; Male speech, man speaking",1.5,3\n'
        "two,b.wav,/m/05tny_,,\n"
        "three,c.wav,,,\n"
    )
    columns = {"id": "name", "file": "path", "tags": "classes", "start_s": "from", "end_s": "to"}
    listing = listed(tmp_path, metadata, ["a.wav", "b.wav", "d.wav"], **columns)
    one, three, two = listing.clips.to_pylist()
    assert (one["clip_id"], one["start_s"], one["end_s"]) == ("one", 1.5, 3.0)
    assert names(one) == ["Bark", "Male speech, man speaking"]
    assert (two["start_s"], two["end_s"], names(two)) == (None, None, ["Bark"])
    assert (three["uri"], three["tags"]) == (None, [])
    assert (listing.coverage.missing, listing.coverage.unlisted_files) == (1, 1)


def test_jsonl_with_lists(tmp_path):
    rows = [
        {"file": "./x/a.wav", "tags": ["dog", "/m/09x0r"], "other": 1},
        {"file": "x\\b.wav", "tags": None},
    ]
    metadata = "\n".join(map(json.dumps, rows)) + "\n\n"
    first, second = listed(tmp_path, metadata, ["x/a.wav", "x/b.wav"]).clips.to_pylist()
    assert (first["clip_id"], names(first)) == ("x/a", ["Dog", "Speech"])
    assert (second["clip_id"], names(second)) == ("x/b", [])
    assert first["uri"] and second["uri"]


def test_stretches_of_one_file_have_ids_of_their_own(tmp_path):
    metadata = "file,start\na.wav,0\na.wav,10.5\n"
    listing = listed(tmp_path, metadata, ["a.wav"], tags=None, start_s="start")
    assert listing.clips["clip_id"].to_pylist() == ["a_0", "a_10500"]


def test_a_path_out_of_the_folder_finds_nothing(tmp_path):
    (tmp_path / "secret.wav").write_bytes(b"")
    listing = listed(tmp_path, "file\n../secret.wav\n/etc/x.wav\n", [], tags=None)
    assert listing.coverage.found == 0


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ("file,tags\na.wav,Dog,more\n", r"clips.csv line 2: found 3 fields in 'a.wav,Dog,more'"),
        ("file,tags\na.wav,Doog\n", r"clips.csv line 2: 'Doog' is no AudioSet class: did you mean"),
        ("file,tags\na.wav,\"/m/0jbk,/m/09x0r\"\n", r"set tag_separator: to what divides it"),
        ("file,label\na.wav,Dog\n", r"clips.csv line 1: no column 'tags' among file, label"),
        ("file,tags\n,Dog\n", r"clips.csv line 2: found '' as 'file'; expected a path"),
        ('file,tags\na.wav,"Dog\n', r"clips.csv line 2: not CSV in UTF-8: unexpected end of data"),
        ("", r"clips.csv line 1: no column 'file' among"),
        ('{"file": "a.wav", "tags": "Dog"}\n{"file": \n', r"clips.jsonl line 2: not JSON in UTF-8"),
        ('{"file": "a.wav"}\n', r"clips.jsonl line 1: no column 'tags' among file"),
        ('{"file": "a.wav", "tags": [3]}\n', r"found \[3\] as 'tags'; expected classes"),
    ],
)  # fmt: skip
def test_a_broken_row_is_named(tmp_path, metadata, message):
    with pytest.raises(InputError, match=message):
        listed(tmp_path, metadata, ["a.wav"])


@pytest.mark.parametrize("start", ["soon", "-1", "nan"])
def test_a_start_that_is_no_time(tmp_path, start):
    message = error_of(tmp_path, f"file,s\na.wav,{start}\n", [], tags=None, start_s="s")
    assert f"line 2: found {start!r} as 's'; expected seconds from the beginning" in message


def test_an_end_before_the_start(tmp_path):
    metadata = "file,s,e\na.wav,5,4\n"
    message = error_of(tmp_path, metadata, [], tags=None, start_s="s", end_s="e")
    assert "line 2: the end, 4.0 s, is not after the start, 5.0 s" in message


def test_an_id_given_twice_is_named_with_its_rows(tmp_path):
    metadata = "file,id\na.wav,same\nb.wav,same\nc.wav,other\n"
    message = error_of(tmp_path, metadata, [], id="id", tags=None)
    assert "'same' (" in message and "line 2, " in message and "line 3)" in message
    assert "other" not in message
    files = error_of(tmp_path, None, ["a.wav", "a.flac"])
    assert "'a' (" in files and "a.wav" in files and "a.flac" in files


def test_the_real_recordings(shared_data):
    esc10 = shared_data / "esc10"
    config = FolderConfig(
        audio=str(esc10 / "audio"), metadata=str(esc10 / "clips.csv"), tags="audioset_mids"
    )
    listing = list_clips(Storage(), config)
    assert (listing.coverage.listed, listing.coverage.found) == (240, 240)
    assert names(listing.clips.to_pylist()[0]) == ["Bark"]
    clips = list_clips(Storage(), FolderConfig(audio=str(shared_data / "audioset" / "clips"))).clips
    assert clips["clip_id"].to_pylist()[:2] == ["-TL8Mp3xcUM_0_10", "_7Xe9vD3Hpg_4_10"]
