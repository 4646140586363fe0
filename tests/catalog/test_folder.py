"""A folder of audio: with CSV, with JSONL, with nothing; and each fault of a row named."""

import csv
import gzip
import io
import json
import os
import re
from pathlib import Path

import pytest
import s3fs

from curation.catalog.catalog import list_clips
from curation.catalog.clip_bytes import read_clip_bytes
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
        path.write_bytes(metadata.encode())
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


def test_segments_of_one_file_have_ids_of_their_own(tmp_path):
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
        ("file,tags\na.wav,Doog\n", "1 label is no AudioSet class: 'Doog' in 1 clip, .* line 2: "),
        ("file,tags\na.wav,\"/m/0jbk,/m/09x0r\"\n", r"set tag_separator: to what divides it"),
        ("file,label\na.wav,Dog\n", r"clips.csv line 1: no column 'tags' among file, label"),
        ("file,tags\n,Dog\n", r"clips.csv line 2: found '' as 'file'; expected a path"),
        ('file,tags\na.wav,"Dog\n', r"clips.csv line 2: not CSV: unexpected end of data"),
        ("", r"clips.csv: found no line; expected a header: file, tags"),
        ('{"file": "a.wav", "tags": "Dog"}\n{"file": \n', r"clips.jsonl line 2: not JSON"),
        ('{"file": "a.wav"}\n', r"clips.jsonl line 1: no column 'tags' among file"),
        ('{"file": "a.wav", "tags": [3]}\n', r"found the number 3 in 'tags', and no names of cl"),
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


def test_files_that_differ_by_their_extension_alone_are_clips_of_their_own(tmp_path):
    files = ["a.wav", "a.flac", "b.wav", "c.d.ogg", "c.d", "b.wav.mp3"]
    ids = listed(tmp_path, None, files).clips["clip_id"].to_pylist()
    assert ids == ["a.flac", "a.wav", "b", "b.wav", "c.d"]
    rows = "file\na.wav\na.flac\nb.wav\n"
    assert set(listed(tmp_path, rows, files, tags=None).clips["clip_id"].to_pylist()) == {
        "a.flac",
        "a.wav",
        "b",
    }


ODD_NAMES = [
    " leading.wav", "trailing.wav ", "a\\b.wav", "new\nline.wav", "tab\t.wav", "caf\u00e9.wav",
    "cafe\u0301.WAV", "\u202egnp.wav", "quo\"te.wav", "comma, .wav", "100%41.wav", "x/ y .wav",
]  # fmt: skip


def test_a_name_is_found_as_it_is_called_and_its_sound_read(tmp_path):
    names_given = [name for name in ODD_NAMES if not name.endswith(" ")]
    bare = listed(tmp_path, None, names_given)
    assert bare.coverage.found == len(names_given)
    text = io.StringIO()
    csv.writer(text).writerows([["file"], *([name] for name in ODD_NAMES)])
    tabled = listed(tmp_path, text.getvalue(), ODD_NAMES, tags=None)
    lines = "\n".join(json.dumps({"file": name}) for name in ODD_NAMES)
    for listing in (tabled, listed(tmp_path, lines, ODD_NAMES, tags=None)):
        uris = listing.clips["uri"].to_pylist()
        assert {uri.removeprefix(f"{tmp_path}/audio/") for uri in uris} == set(ODD_NAMES)
        assert len(set(listing.clips["clip_id"].to_pylist())) == len(ODD_NAMES)
        assert [read_clip_bytes(Storage(), uri)[0] for uri in uris] == [b""] * len(uris)


def test_spaces_after_commas_and_around_names_are_format_where_no_file_is_called_so(tmp_path):
    metadata = 'tags, file ,id\n"Dog", a.wav ,one\nCat,  "b, c.wav" , two\n'
    rows = listed(tmp_path, metadata.replace('" ,', '",'), ["a.wav", "b, c.wav"], id="id").clips
    assert rows["clip_id"].to_pylist() == ["one", "two"]
    assert rows["uri"].null_count == 0


def test_a_name_that_is_not_utf8_is_a_clip_like_another(tmp_path):
    folder = os.fsencode(tmp_path / "audio")
    os.makedirs(folder + b"/d\xe9")
    for name in (b"caf\xe9.wav", b"d\xe9/x.wav", b"ok.wav"):
        Path(os.fsdecode(folder + b"/" + name)).write_bytes(name)
    listing = listed(tmp_path, None, [])
    rows = {row["clip_id"]: row["uri"] for row in listing.clips.to_pylist()}
    assert list(rows) == ["caf\\xe9", "d\\xe9/x", "ok"]
    assert read_clip_bytes(Storage(), rows["caf\\xe9"])[0] == b"caf\xe9.wav"
    assert read_clip_bytes(Storage(), rows["d\\xe9/x"])[0] == b"d\xe9/x.wav"
    assert r"2 names are not UTF-8, their bytes are written \xNN: 'caf\xe9.wav', 'd\xe9/x.wav'" in (
        listing.summary()
    )
    for metadata in ('file\n"caf\\xe9.wav"\n', json.dumps({"file": "caf\udce9.wav"})):
        assert listed(tmp_path, metadata, [], tags=None).coverage.found == 1
    rows = listed(tmp_path, json.dumps({"file": "\ud800.wav"}), [], tags=None).clips
    assert rows["clip_id"].to_pylist() == ["/ud800"], "as of every missing name, with slashes"


def test_links_in_circles_and_broken_ones_are_named(tmp_path):
    folder = tmp_path / "audio"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "up").symlink_to(folder)
    (folder / "loop").symlink_to(".")
    (folder / "self.wav").symlink_to("self.wav")
    (folder / "broken.wav").symlink_to("nothing.wav")
    (folder / "copy.wav").symlink_to("x.wav")
    os.mkfifo(folder / "pipe.wav")
    listing = listed(tmp_path, None, ["x.wav"])
    assert listing.clips["clip_id"].to_pylist() == ["copy", "x"]
    assert listing.coverage.notes == (
        "passed over 2 (a broken link): 'broken.wav', 'self.wav'",
        "passed over 2 (a link to a folder that it lies in): 'deep/up', 'loop'",
        "passed over 1 (neither a file nor a folder): 'pipe.wav'",
    )


def test_what_is_not_read_is_counted_by_extension(tmp_path):
    files = ["a.wav", "a.txt", "b.TXT", "c.xyz", "LICENSE", ".hidden.wav", "d.aifc", "e.spx"]
    listing = listed(tmp_path, None, files)
    assert listing.clips["clip_id"].to_pylist() == ["a", "d", "e"]
    assert listing.coverage.unread_files == {
        ".txt": 2,
        ".xyz": 1,
        "hidden": 1,
        "without extension": 1,
    }
    assert listing.summary().endswith(
        "not read as audio: 2 .txt, 1 .xyz, 1 hidden, 1 without extension"
    )
    (tmp_path / "audio" / "clips.csv").write_text("file\nc.xyz\n")
    within = FolderConfig(
        audio=str(tmp_path / "audio"), metadata=str(tmp_path / "audio" / "clips.csv"), tags=None
    )
    named = list_clips(Storage(), within)
    assert named.coverage.found == 1, "metadata may name a file of any extension"
    assert named.coverage.unread_files == {".txt": 2, "hidden": 1, "without extension": 1}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (gzip.compress(b"file\na.wav\n", mtime=0), "compressed by gzip; unpack it"),
        ("file\na.wav\n".encode("utf-16"), "that is UTF-16; save it as UTF-8"),
        ("file\na.wav\n".encode("utf-16-le"), "bytes 0 at its beginning: UTF-16"),
        (b"PK\x03\x04" + bytes(60), "a zip archive or a spreadsheet"),
        (b"file\ttags\na.wav\tDog\n", "line 1: found fields divided by tabs"),
        (b"file;tags\na.wav;Dog\n", "line 1: found fields divided by semicolons"),
        (b"file,tags\n\xe9.wav,Dog\n", "not UTF-8: .* can't decode byte 0xe9"),
        (b"file,file,tags\na.wav,b.wav,Dog\n", "line 1: 2 columns are called 'file'"),
    ],
)
def test_metadata_that_is_no_csv_in_utf8_is_called_what_it_is(tmp_path, content, message):
    (tmp_path / "clips.csv").write_bytes(content)
    config = FolderConfig(audio=str(tmp_path), metadata=str(tmp_path / "clips.csv"))
    with pytest.raises(InputError, match=message):
        list_clips(Storage(), config)


def test_long_fields_blank_first_lines_and_newlines_within_quotes(tmp_path):
    metadata = (
        f'\ufeff\n  \n\nfile,tags,text\na.wav,Dog,"{"long " * 100_000}"\n\n'
        '"b\nc.wav","Bark;\n Cat","said ""no"" , \nand more"\nd.wav,,5" nail\ne.wav,Doog,x\n'
    )
    assert re.search("'Doog' in 1 clip, first in .* line 12: did", error_of(tmp_path, metadata, []))
    rows = listed(tmp_path, metadata.replace("Doog", ""), ["a.wav", "b\nc.wav", "d.wav"]).clips
    assert rows["clip_id"].to_pylist() == ["a", "b\nc", "d", "e"]
    assert [names(row) for row in rows.to_pylist()] == [["Dog"], ["Bark", "Cat"], [], []]


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"")
    with pytest.raises(InputError, match="a.wav: a file, given as audio: .*; expected a folder"):
        list_clips(Storage(), FolderConfig(audio=str(tmp_path / "a.wav")))


def test_nulls_among_labels_are_no_labels(tmp_path):
    metadata = json.dumps({"file": "a.wav", "tags": ["Dog", None, "", "Bark"]})
    (row,) = listed(tmp_path, metadata, ["a.wav"]).clips.to_pylist()
    assert names(row) == ["Dog", "Bark"]


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


def test_keys_of_a_bucket_that_are_no_usual_paths(s3_folder):
    keys = ["a//b.wav", "./c.wav", "d\\e.wav", "f\tg.wav", "h/../i.wav", " j.wav", "/k.wav"]
    client = s3fs.S3FileSystem()
    for key in [*keys, "clips.csv"]:
        body = "\n".join(["file", *(f'"{name}"' for name in keys)]) if key == "clips.csv" else key
        client.call_s3("put_object", Bucket=s3_folder[5:], Key=key, Body=body.encode())
    metadata = FolderConfig(audio=s3_folder, metadata=f"{s3_folder}/clips.csv", tags=None)
    for config in (metadata, FolderConfig(audio=s3_folder)):
        uris = list_clips(Storage(), config).clips["uri"].to_pylist()
        assert sorted(uris) == sorted(f"{s3_folder}/{key}" for key in keys)
        for uri in uris:
            data, _ = read_clip_bytes(Storage(), uri)
            assert data.decode() == uri.removeprefix(f"{s3_folder}/")
