"""WebDataset tars: listed by their headers, read by range, whatever their members are called."""

import io
import json
import tarfile

import pytest

from curation.catalog.catalog import list_clips
from curation.catalog.clip_bytes import read_clip_bytes, tar_member_uri
from curation.config.catalog import WebDatasetConfig
from curation.errors import InputError
from curation.storage.files import Storage


def tar_of(members: dict[str, bytes], mode: str = "w") -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as tar:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return file.getvalue()


def facts(**values: object) -> bytes:
    return json.dumps(values).encode()


def test_samples_are_listed_in_the_order_of_the_files_and_read_by_range(tmp_path):
    first = {
        "z.json": facts(tags=["Dog", "/m/09x0r"], text="a dog"),
        "z.flac": b"sound z",
        "dir/a.b.FLAC": b"sound a",
        "dir/a.json": facts(),
        "notes.txt": b"no sample",
    }
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards" / "00000.tar").write_bytes(tar_of(first))
    (tmp_path / "shards" / "00001.tar").write_bytes(tar_of({"m.mp3": b"sound m"}))
    listing = list_clips(Storage(), WebDatasetConfig(data=str(tmp_path / "shards")))
    rows = listing.clips.to_pylist()
    assert [row["clip_id"] for row in rows] == ["z", "dir/a", "m"]
    assert [[tag["name"] for tag in row["tags"]] for row in rows] == [["Dog", "Speech"], [], []]
    assert [read_clip_bytes(Storage(), row["uri"])[0] for row in rows] == [
        b"sound z",
        b"sound a",
        b"sound m",
    ]
    assert read_clip_bytes(Storage(), rows[0]["uri"])[1] == f"z.flac in {tmp_path}/shards/00000.tar"
    assert listing.coverage.missing == 0


def test_a_sample_without_audio_is_missing(tmp_path):
    (tmp_path / "a.tar").write_bytes(tar_of({"a.json": facts(tags=["Dog"]), "b.wav": b"b"}))
    listing = list_clips(Storage(), WebDatasetConfig(data=str(tmp_path / "a.tar")))
    assert listing.clips["clip_id"].to_pylist() == ["b", "a"]
    assert listing.clips["uri"].to_pylist()[1] is None
    assert listing.summary() == "2 clips listed: 1 found, 1 missing (50.0 %)"


@pytest.mark.parametrize(
    "name", ["../../up.wav", "/etc/abs.wav", "a#b&size=9&name=c.wav", "é ☃.wav", "x" * 200 + ".wav"]
)
def test_the_name_of_a_member_is_only_a_name(tmp_path, name):
    (tmp_path / "a.tar").write_bytes(tar_of({name: b"sound"}))
    before = sorted(tmp_path.rglob("*"))
    (row,) = list_clips(Storage(), WebDatasetConfig(data=str(tmp_path))).clips.to_pylist()
    assert read_clip_bytes(Storage(), row["uri"])[0] == b"sound"
    assert sorted(tmp_path.rglob("*")) == before
    assert row["uri"].startswith(f"{tmp_path}/a.tar#offset=")


def test_links_are_no_samples(tmp_path):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        link = tarfile.TarInfo("passwd.wav")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    (tmp_path / "a.tar").write_bytes(file.getvalue())
    assert list_clips(Storage(), WebDatasetConfig(data=str(tmp_path))).coverage.listed == 0


def test_an_empty_member_is_an_empty_file(tmp_path):
    (tmp_path / "a.tar").write_bytes(tar_of({"a.wav": b""}))
    (row,) = list_clips(Storage(), WebDatasetConfig(data=str(tmp_path))).clips.to_pylist()
    assert read_clip_bytes(Storage(), row["uri"])[0] == b""


def test_ids_from_the_json(tmp_path):
    (tmp_path / "a.tar").write_bytes(tar_of({"0.json": facts(name="one"), "0.wav": b""}))
    config = WebDatasetConfig(data=str(tmp_path), id="name", tags=None)
    assert list_clips(Storage(), config).clips["clip_id"].to_pylist() == ["one"]


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"a.json": b"{", "a.wav": b""}, "a.json in .*a.tar: not JSON in UTF-8"),
        ({"a.json": b"[]"}, "a.json in .*a.tar: found list; expected an object"),
        ({"a.json": facts(tags=["Doog"])}, "'Doog' in 1 clip, first in a in .*a.tar: did you mean"),
        ({"a.json": facts(tags="Dog")}, "a in .*a.tar: found 'Dog' as 'tags'; expected a list"),
        (
            {"a.wav": b"", "a.mp3": b""},
            "a in .*a.tar: two audio files, a.wav and a.mp3; .*dot",
        ),
        (
            {"1.5.json": facts(), "1.6.json": facts()},
            "1 in .*: two JSON files, .*first dot, as",
        ),
        ({"1.5.wav": b"", "1.6.json": facts()}, "1.5.wav and 1.6.json would be one .*first dot"),
    ],
)
def test_a_sample_that_is_wrong_is_named(tmp_path, members, message):
    (tmp_path / "a.tar").write_bytes(tar_of(members))
    with pytest.raises(InputError, match=message):
        list_clips(Storage(), WebDatasetConfig(data=str(tmp_path)))


def test_names_are_split_at_the_first_dot_of_their_last_part(tmp_path):
    members = {"v1.2/22.05.json": facts(tags=["Dog"]), "v1.2/22.05.wav": b"sound", "._22.wav": b""}
    (tmp_path / "a.tar").write_bytes(tar_of(members))
    (row,) = list_clips(Storage(), WebDatasetConfig(data=str(tmp_path))).clips.to_pylist()
    assert (row["clip_id"], row["tags"][0]["name"]) == ("v1.2/22", "Dog")


def test_a_member_whose_name_is_not_utf8(tmp_path):
    (tmp_path / "a.tar").write_bytes(tar_of({"caf\udce9.wav": b"sound"}))
    (row,) = list_clips(Storage(), WebDatasetConfig(data=str(tmp_path))).clips.to_pylist()
    assert row["clip_id"] == r"caf\xe9"
    assert read_clip_bytes(Storage(), row["uri"])[0] == b"sound"


def test_other_members_and_files_are_counted(tmp_path):
    members = {"a.wav": b"", "a.txt": b"", "b.txt": b"", "a.cls": b"", ".a.wav": b""}
    (tmp_path / "A.TAR").write_bytes(tar_of(members))
    (tmp_path / "README.md").write_bytes(b"")
    coverage = list_clips(Storage(), WebDatasetConfig(data=str(tmp_path))).coverage
    assert coverage.unread_files == {".txt": 2, ".md": 1, ".cls": 1, "hidden": 1}


def test_nulls_among_labels_are_no_labels(tmp_path):
    (tmp_path / "a.tar").write_bytes(tar_of({"a.json": facts(tags=[None, "Dog"]), "a.wav": b""}))
    (row,) = list_clips(Storage(), WebDatasetConfig(data=str(tmp_path))).clips.to_pylist()
    assert [tag["name"] for tag in row["tags"]] == ["Dog"]


def test_a_sample_given_twice(tmp_path):
    for name in ("a.tar", "b.tar"):
        (tmp_path / name).write_bytes(tar_of({"same.wav": b""}))
    with pytest.raises(InputError, match=r"'same' \(same in .*a.tar, same in .*b.tar\)"):
        list_clips(Storage(), WebDatasetConfig(data=str(tmp_path)))


@pytest.mark.parametrize(
    "data",
    [
        tar_of({"a.wav": b"sound" * 1000}, "w:gz"),
        tar_of({"a.wav": b"sound" * 10000})[:20000],
        b"no tar at all" * 100,
    ],
)
def test_a_tar_that_cannot_be_read_by_ranges(tmp_path, data):
    (tmp_path / "a.tar").write_bytes(data)
    with pytest.raises(InputError, match="a.tar: not a whole, uncompressed tar"):
        list_clips(Storage(), WebDatasetConfig(data=str(tmp_path)))


def test_a_plain_file_may_have_a_name_like_a_range(tmp_path):
    for name in ("take #row=1.wav", "a#offset=1.wav", "#.wav", "100%20.wav"):
        (tmp_path / name).write_bytes(name.encode())
        uri = str(tmp_path / name)
        assert read_clip_bytes(Storage(), uri) == (name.encode(), uri)


def test_uris_sort_as_the_members_lie():
    uris = [tar_member_uri("a.tar", offset, 7, "x") for offset in (512, 5000, 10_000_000_000)]
    assert uris == sorted(uris)


def test_a_bucket_serves_as_well_as_a_folder(s3_folder):
    members = {f"{index:03d}.wav": f"sound {index}".encode() for index in range(20)}
    Storage().put(f"{s3_folder}/shards/a.tar", tar_of(members))
    listing = list_clips(Storage(), WebDatasetConfig(data=f"{s3_folder}/shards"))
    uris = listing.clips["uri"].to_pylist()
    assert [read_clip_bytes(Storage(), uri)[0] for uri in uris] == list(members.values())
