"""AudioSet's layout: every name that users give their files, every fault of a list, and size."""

import io
import time
from pathlib import Path

import pytest

from curation.catalog.catalog import list_clips
from curation.catalog.clip_bytes import read_clip_bytes
from curation.catalog.listing import CatalogListing
from curation.config.catalog import AudiosetConfig
from curation.errors import InputError
from curation.schema import CLIP_SCHEMA
from curation.storage.files import Storage

HEADER = "# Segments csv\n# num_ytids=1\n# YTID, start_seconds, end_seconds, positive_labels\n"
SPEECH, DOG = "/m/09x0r", "/m/0bt9lr"


def listed(tmp_path: Path, lines: str, present: list[str], **options: object) -> CatalogListing:
    (tmp_path / "segments.csv").write_text(HEADER + lines)
    for name in present:
        path = tmp_path / "audio" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    (tmp_path / "audio").mkdir(exist_ok=True)
    return list_clips(
        Storage(),
        AudiosetConfig(
            segments=str(tmp_path / "segments.csv"), audio=str(tmp_path / "audio"), **options
        ),
    )


def found(listing: CatalogListing) -> dict[str, str | None]:
    uris = listing.clips["uri"].to_pylist()
    names = [uri and uri.rpartition("/audio/")[2] for uri in uris]
    return dict(zip(listing.clips["clip_id"].to_pylist(), names, strict=True))


def error_of(tmp_path: Path, lines: str, files: list[str] | None = None) -> str:
    with pytest.raises(InputError) as caught:
        listed(tmp_path, lines, files or [])
    return str(caught.value)


@pytest.mark.parametrize(
    ("ytid", "name"),
    [
        ("--PJHxphWEs", "--PJHxphWEs.wav"),
        ("--PJHxphWEs", "Y--PJHxphWEs.wav"),
        ("--PJHxphWEs", "--PJHxphWEs_30.flac"),
        ("--PJHxphWEs", "--PJHxphWEs_30000.flac"),
        ("--PJHxphWEs", "--PJHxphWEs_30.000_40.000.ogg"),
        ("--PJHxphWEs", "--PJHxphWEs_30_40.wav"),
        ("--PJHxphWEs", "--PJHxphWEs_30000_40000.wav"),
        ("--PJHxphWEs", "Y--PJHxphWEs_30_40.WAV"),
        ("--PJHxphWEs", "balanced/03/--PJHxphWEs.m4a"),
        ("_7Xe9vD3Hpg", "_7Xe9vD3Hpg_30_40.mp3"),
        ("Yabcdefghij", "Yabcdefghij.wav"),
        ("Yabcdefghij", "YYabcdefghij.wav"),
        ("Yabcdefghij", "Yabcdefghij_30.wav"),
        ("abcdefg_30_", "Yabcdefg_30__30.wav"),
        ("abcdefgh_30", "abcdefgh_30_30_40.webm"),
    ],
)
def test_a_clip_is_found_by_any_of_the_names_that_users_give(tmp_path, ytid, name):
    listing = listed(tmp_path, f'{ytid}, 30.000, 40.000, "{SPEECH}"\n', [name])
    assert found(listing) == {f"{ytid}_30000": name}
    assert listing.clips.schema == CLIP_SCHEMA
    assert listing.clips["start_s"].to_pylist() == [None]
    assert listing.coverage.unlisted_files == 0


@pytest.mark.parametrize(
    "name", ["--PJHxphWEs.txt", ".--PJHxphWEs.wav", "--PJHxphWEs_31.wav", "--PJHxphWE.wav"]
)
def test_what_is_another_file_is_not_taken_for_the_clip(tmp_path, name):
    listing = listed(tmp_path, f'--PJHxphWEs, 30.000, 40.000, "{SPEECH}"\n', [name])
    assert found(listing) == {"--PJHxphWEs_30000": None}


def test_tags_are_read_in_order_and_may_be_none(tmp_path):
    lines = (
        f'aaaaaaaaaaa, 0.000, 10.000, "{SPEECH},{DOG},{SPEECH}"\n'
        f'bbbbbbbbbbb,0,10,{DOG}\n'
        'ccccccccccc, 0.000, 10.000, ""\n'
        "ddddddddddd,0,10,\r\n"
    )  # fmt: skip
    tags = listed(tmp_path, lines, []).clips["tags"].to_pylist()
    assert [[tag["name"] for tag in each] for each in tags] == [["Speech", "Dog"], ["Dog"], [], []]
    assert tags[0][0] == {"mid": SPEECH, "name": "Speech", "confidence": 1.0, "origin": "human"}


def test_clips_are_sorted_and_the_missing_ones_are_listed(tmp_path):
    lines = "".join(f'{name * 11}, 0.000, 10.000, "{SPEECH}"\n' for name in "cab")
    listing = listed(tmp_path, lines, ["ccccccccccc.wav", "zzzzzzzzzzz.wav", "ccccccccccc_5.wav"])
    assert list(found(listing)) == ["aaaaaaaaaaa_0", "bbbbbbbbbbb_0", "ccccccccccc_0"]
    coverage = listing.coverage
    assert (coverage.listed, coverage.found, coverage.missing) == (3, 1, 2)
    assert coverage.unlisted_files == 2
    assert listing.summary() == (
        "3 clips listed: 1 found, 2 missing (66.6 %); 2 audio files belong to no listed clip; "
        "1 of them have a listed id and another start"
    )


def test_whole_recordings_are_to_be_cut_and_cut_clips_are_not(tmp_path):
    lines = (
        f'aaaaaaaaaaa, 30.000, 40.000, "{SPEECH}"\n'
        f'aaaaaaaaaaa, 70.000, 75.500, "{SPEECH}"\n'
        f'bbbbbbbbbbb, 30.000, 40.000, "{SPEECH}"\n'
        f'ccccccccccc, 30.000, 40.000, "{SPEECH}"\n'
    )
    files = ["aaaaaaaaaaa.webm", "bbbbbbbbbbb_30.wav"]
    rows = listed(tmp_path, lines, files, files="whole").clips.to_pylist()
    assert [(row["start_s"], row["end_s"]) for row in rows] == [
        (30.0, 40.0), (70.0, 75.5), (None, None), (None, None)
    ]  # fmt: skip
    assert rows[0]["uri"] == rows[1]["uri"] and rows[3]["uri"] is None


def test_a_cut_file_of_an_id_with_several_starts_must_say_which(tmp_path):
    lines = f'aaaaaaaaaaa, 30.000, 40.000, "{SPEECH}"\naaaaaaaaaaa, 70.000, 80.000, "{SPEECH}"\n'
    listing = listed(tmp_path, lines, ["aaaaaaaaaaa_70.wav"])
    assert found(listing) == {"aaaaaaaaaaa_30000": None, "aaaaaaaaaaa_70000": "aaaaaaaaaaa_70.wav"}
    message = error_of(tmp_path, lines, ["aaaaaaaaaaa.wav"])
    assert "listed with several starts (30 s, 70 s)" in message and "files: whole" in message


def test_of_two_files_of_a_clip_the_one_that_names_the_start_is_taken(tmp_path):
    files = ["Yaaaaaaaaaaa.wav", "aaaaaaaaaaa.mp3", "aaaaaaaaaaa_0.flac"]
    listing = listed(tmp_path, f'aaaaaaaaaaa, 0.000, 10.000, "{SPEECH}"\n', files)
    assert found(listing) == {"aaaaaaaaaaa_0": "aaaaaaaaaaa_0.flac"}
    assert "2 files were left aside, as another has the same clip" in listing.summary()


@pytest.mark.parametrize(
    "line",
    [
        "aaaaaaaaaaa, 0.000, 10.000",
        "aaaaaaaaaaa, zero, 10.000, /m/09x0r",
        'short, 0.000, 10.000, "/m/09x0r"',
        'aaaaaaaaaaa, 10.000, 0.000, "/m/09x0r"',
        'aaaaaaaaaaa, 0.000, 10.000, "/m/09x0r',
        'aaaaaaaaaaa, 0.000, 10.000, "/m/09x0r" trailing',
    ],
)
def test_a_broken_line_is_named_with_what_was_expected(tmp_path, line):
    message = error_of(tmp_path, f"bbbbbbbbbbb, 0, 10, {SPEECH}\n{line}\n")
    assert f"segments.csv line 5: found {line!r}; expected YouTube id, start" in message


def test_a_label_that_is_no_audioset_class(tmp_path):
    message = error_of(tmp_path, f'aaaaaaaaaaa, 0, 10, "{SPEECH},/m/nothing"\n')
    assert "'/m/nothing' in 1 clip, first in " in message and "segments.csv line 4" in message


def test_a_segment_listed_twice(tmp_path):
    message = error_of(tmp_path, f"aaaaaaaaaaa, 0, 10, {SPEECH}\naaaaaaaaaaa, 0.0, 9, {DOG}\n")
    assert "'aaaaaaaaaaa_0' (" in message
    assert "segments.csv line 4, " in message and "segments.csv line 5)" in message


def test_a_folder_or_a_list_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="audio: no such folder, given as audio:"):
        list_clips(Storage(), AudiosetConfig(segments="x.csv", audio=str(tmp_path / "audio")))
    with pytest.raises(InputError, match="x.csv: no such file, given as segments:"):
        list_clips(Storage(), AudiosetConfig(segments=str(tmp_path / "x.csv"), audio=str(tmp_path)))


def test_a_bucket_serves_as_well_as_a_folder(s3_folder, sound):
    lines = f'aaaaaaaaaaa, 0, 10, "{SPEECH}"\nbbbbbbbbbbb, 0, 10, "{DOG}"\n'
    Storage().put(f"{s3_folder}/segments.csv", (HEADER + lines).encode())
    Storage().put(f"{s3_folder}/audio/x/aaaaaaaaaaa_0.flac", sound)
    listing = list_clips(
        Storage(), AudiosetConfig(segments=f"{s3_folder}/segments.csv", audio=f"{s3_folder}/audio")
    )
    uri = f"{s3_folder}/audio/x/aaaaaaaaaaa_0.flac"
    assert listing.clips["uri"].to_pylist() == [uri, None]
    assert read_clip_bytes(Storage(), uri) == (sound, uri)
    with pytest.raises(FileNotFoundError):
        read_clip_bytes(Storage(), f"{s3_folder}/audio/nothing.flac")


def test_the_balanced_list_whole_with_one_clip(shared_data):
    folder = shared_data / "audioset"
    begun = time.perf_counter()
    listing = list_clips(
        Storage(),
        AudiosetConfig(
            segments=str(folder / "balanced_train_segments.csv"), audio=str(folder / "clips")
        ),
    )
    assert time.perf_counter() - begun < 10
    coverage = listing.coverage
    assert (coverage.listed, coverage.found, coverage.unlisted_files) == (22160, 1, 2)
    (row,) = listing.clips.filter(listing.clips["uri"].is_valid()).to_pylist()
    assert row["clip_id"] == "f62-S-v2swA_200000"
    assert [tag["name"] for tag in row["tags"]] == ["Music", "Ukulele", "Speech"]


def test_lists_are_read_line_by_line(tmp_path):
    """A list of a hundred thousand lines, as the measure for two million."""
    text = io.StringIO()
    text.write(HEADER)
    for index in range(100_000):
        text.write(f'{index:011d}, 30.000, 40.000, "{SPEECH},{DOG}"\n')
    begun = time.perf_counter()
    listing = listed(tmp_path, text.getvalue().removeprefix(HEADER), [])
    assert listing.coverage.missing == 100_000
    assert time.perf_counter() - begun < 20
