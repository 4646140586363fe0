"""Clips that are missing because of how they are named: the cause is found, and the plan stops."""

from pathlib import Path

import pytest

from curation.catalog.catalog import list_clips
from curation.catalog.listing import CatalogListing
from curation.config.catalog import AudiosetConfig, FolderConfig, ParquetConfig
from curation.errors import InputError
from curation.storage.files import Storage
from tests.catalog.test_parquet import write


def listed(tmp_path: Path, rows: list[str], files: list[str]) -> CatalogListing:
    folder = tmp_path / "audio"
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    folder.mkdir(exist_ok=True)
    (tmp_path / "clips.csv").write_text("\n".join(["file", *rows]) + "\n")
    return list_clips(
        Storage(),
        FolderConfig(audio=str(folder), metadata=str(tmp_path / "clips.csv"), tags=None),
    )


@pytest.mark.parametrize(
    ("row", "file", "cause"),
    [
        ("/data/audio/x.wav", "x.wav", "folder: listed is '/data/audio/x.wav', there is 'x.wav'"),
        ("x", "x.wav", "extension: listed is 'x', there is 'x.wav'"),
        ("x.wav", "x.flac", "extension: listed is 'x.wav', there is 'x.flac'"),
        ("x.wav", "x", "extension: listed is 'x.wav', there is 'x'"),
        ("x.wav", "X.wav", "upper and lower case: listed is 'x.wav', there is 'X.wav'"),
        ("x.wav", "x.WAV", "upper and lower case: listed is 'x.wav', there is 'x.WAV'"),
        ("sub/x.wav", "sub\\x.wav", "folder: listed is 'sub/x.wav', there is 'sub\\x.wav'"),
        ("x.wav", " x.wav", "spaces around the name: listed is 'x.wav', there is ' x.wav'"),
        (
            "caf\u00e9.wav",
            "cafe\u0301.wav",
            r"Unicode form (NFC or NFD): listed is 'caf\xe9.wav', there is 'cafe\u0301.wav'",
        ),
        ("/a/X", "b/x.mp3", "upper and lower case and folder and extension: listed is '/a/X'"),
    ],
)
def test_names_that_nearly_match_stop_the_plan_with_the_cause(tmp_path, row, file, cause):
    with pytest.raises(InputError) as caught:
        listed(tmp_path, [row, "there.wav"], [file, "there.wav"])
    assert f"1 files that belong to no listed clip match a missing clip up to {cause}" in str(
        caught.value
    )


def test_half_of_the_unlisted_files_make_a_cause_and_fewer_do_not(tmp_path):
    rows = [f"{index}.wav" for index in range(10)]
    files = [f"{index}.WAV" for index in range(5)] + [f"other{index}.wav" for index in range(6)]
    listing = listed(tmp_path, rows, files)
    assert (listing.coverage.missing, listing.coverage.unlisted_files) == (10, 11)
    assert "5 files that belong to no listed clip match a missing clip up to upper" in (
        listing.summary()
    )
    (tmp_path / "audio" / "other0.wav").unlink()
    with pytest.raises(InputError, match="5 files that belong to no listed clip match"):
        listed(tmp_path, rows, [])


def test_a_missing_clip_accounts_for_one_file(tmp_path):
    """Names that many folders have are no sign of anything."""
    listing = listed(tmp_path, ["dog/001.wav"], [f"{name}/001.wav" for name in "abcd"])
    assert (listing.coverage.missing, listing.coverage.unlisted_files) == (1, 4)


def test_files_of_other_kinds_do_not_count(tmp_path):
    listing = listed(tmp_path, ["x.wav", "y.wav"], ["x.txt", "x.json", "LICENSE", "z.wav"])
    assert listing.coverage.missing == 2


def test_youtube_ids_in_another_case(tmp_path):
    (tmp_path / "segments.csv").write_text("aBcdefghijK, 0, 10, /m/09x0r\n")
    config = AudiosetConfig(segments=str(tmp_path / "segments.csv"), audio=str(tmp_path))
    for name in ("abcdefghijk_0.wav", "ABCDEFGHIJK.wav"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(InputError, match="upper and lower case: listed is 'aBcdefghijK', there is"):
        list_clips(Storage(), config)
    (tmp_path / "other.wav").write_bytes(b"")
    (tmp_path / "more.wav").write_bytes(b"")
    assert list_clips(Storage(), config).coverage.unlisted_files == 4
    for path in tmp_path.glob("*.wav"):
        path.unlink()
    (tmp_path / "aBcdefghijK").write_bytes(b"")
    with pytest.raises(InputError, match="up to extension: listed is 'aBcdefghijK'"):
        list_clips(Storage(), config)


def test_paths_of_a_parquet_file(tmp_path):
    write(tmp_path / "a.parquet", [("one", None, "/home/me/clips/one.wav", [])])
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "one.wav").write_bytes(b"")
    with pytest.raises(InputError, match="up to folder: listed is '/home/me/clips/one.wav'"):
        list_clips(Storage(), ParquetConfig(data=str(tmp_path)))
