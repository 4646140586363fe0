"""Publishing: the same again is the same bytes, nothing is overwritten, no audio goes unasked."""

import hashlib
import itertools
import shutil
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from curation.config.run import RunConfig
from curation.errors import InputError
from curation.publish import licences, source
from curation.publish.options import DatasetFormat, PublishOptions
from curation.publish.publication import estimate_size, prepare_publication
from curation.publish.publish import claim_destination, publish_dataset
from curation.run.layout import RunFolder
from curation.select import apply
from curation.storage.files import Storage
from tests.publish.conftest import (
    CLIPS,
    WITHOUT_AUDIO,
    contents,
    excluded_clips,
    make_run,
    publication,
)


@pytest.fixture(scope="module")
def two_versions(tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    """A run whose table has two captions a clip in version 0, and one in version 1."""
    config = make_run(tmp_path_factory.mktemp("versions"))
    policy = config.select.model_copy(update={"max_per_clip": 1})
    apply.select_pairs(config.model_copy(update={"select": policy}))
    return config


@contextmanager
def cut_after(files: int, patch: pytest.MonkeyPatch) -> Iterator[None]:
    """The process is stopped when so many files have been written."""
    put_new, written = Storage.put_new, itertools.count(1)

    def counted(storage: Storage, uri: str, data: bytes) -> bool:
        if next(written) > files:
            raise KeyboardInterrupt
        return put_new(storage, uri, data)

    with patch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Storage, "put_new", counted)
        yield


def test_the_same_run_is_published_as_the_same_bytes(
    run: RunConfig, sounds: Path, tmp_path: Path
) -> None:
    publish_dataset(publication(run, *DatasetFormat, audio=True), str(tmp_path))
    assert contents(tmp_path) == contents(sounds)


@pytest.mark.parametrize("which", ["captions", "sounds"])
def test_checksums_are_those_of_the_files(which: str, request: pytest.FixtureRequest) -> None:
    found = contents(request.getfixturevalue(which))
    lines = found.pop("SHA256SUMS").decode().splitlines()
    assert lines == [f"{hashlib.sha256(found[p]).hexdigest()}  {p}" for p in sorted(found)]


def test_all_captions_of_a_clip_are_in_one_split(captions: Path) -> None:
    splits = defaultdict(list)
    for path in sorted((captions / "data").iterdir()):
        for clip_id in pq.read_table(path)["clip_id"].to_pylist():
            splits[clip_id].append(path.name.partition("-")[0])
    assert len(splits) == CLIPS
    assert all(len(names) == 2 and len(set(names)) == 1 for names in splits.values())
    assert {name for names in splits.values() for name in names} == {"train", "validation", "test"}


def test_an_interrupted_publication_goes_on(run: RunConfig, sounds: Path, tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        publish_dataset(publication(run, *DatasetFormat, audio=True), str(tmp_path), update=stop)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "data").iterdir()}
    assert len(before) == 1 and not (tmp_path / "SHA256SUMS").exists()
    publish_dataset(publication(run, *DatasetFormat, audio=True), str(tmp_path))
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert contents(tmp_path) == contents(sounds)


def test_what_is_published_already_is_checked_and_left_alone(
    run: RunConfig, captions: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(captions, tmp_path / "copy")
    before = contents(folder)
    again = publish_dataset(publication(run, *WITHOUT_AUDIO), str(folder))
    assert again.summary is None and again.files == len(before) - 1
    assert contents(folder) == before
    (folder / "README.md").write_text("mine")
    with pytest.raises(InputError, match="README.md: already there with other content"):
        publish_dataset(publication(run, *WITHOUT_AUDIO), str(folder))
    (folder / "README.md").unlink()
    with pytest.raises(InputError, match="README.md: gone, though SHA256SUMS names it"):
        publish_dataset(publication(run, *WITHOUT_AUDIO), str(folder))


@pytest.mark.parametrize("name", ["README.md", "data/test-00000-of-00001.parquet"])
def test_a_file_of_somebody_else_is_never_overwritten(
    run: RunConfig, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")
    with pytest.raises(InputError, match=f"{name}: already there with other content.*delete it"):
        publish_dataset(publication(run), str(tmp_path))
    assert (tmp_path / name).read_text() == "mine"


def test_another_version_goes_elsewhere_with_a_changelog(
    two_versions: RunConfig, tmp_path: Path
) -> None:
    first = prepare_publication(
        source.load_run_source(RunFolder.from_config(two_versions), 0),
        PublishOptions("tones", test=0.2),
        None,
    )
    publish_dataset(first, str(tmp_path / "v0"))
    with pytest.raises(InputError, match=r"another publication \(differing: .*--previous"):
        publish_dataset(publication(two_versions), str(tmp_path / "v0"))
    publish_dataset(publication(two_versions), str(tmp_path / "v1"), previous=str(tmp_path / "v0"))
    log = (tmp_path / "v1" / "CHANGELOG.md").read_text()
    assert f"Pairs: {CLIPS} as before, 0 new, {CLIPS} gone, against version 0." in log
    assert "policy.max\\_per\\_clip: 2 before, 1 now." in log
    assert "options.validation: 0.05 before, 0.2 now." in log
    assert "options.creator: none before, somebody now." in log
    assert "options.test" not in log
    assert log.index("## Version 1") < log.index("## Version 0")


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        (None, "no dataset.json of tagscribe publish there; expected a finished dataset"),
        ("[]", "no dataset.json of tagscribe publish there"),
        ("{", "no dataset.json of tagscribe publish there"),
        ('{"claim": {"format": 7}}', "format 7, this version reads 2"),
    ],
)
def test_what_is_no_dataset_of_ours_is_no_previous_version(
    run: RunConfig, tmp_path: Path, facts: str | None, message: str
) -> None:
    if facts:
        (tmp_path / "dataset.json").write_text(facts)
    with pytest.raises(InputError, match=message):
        claim_destination(publication(run), str(tmp_path / "new"), str(tmp_path))


def test_an_older_version_is_published_on_request(two_versions: RunConfig) -> None:
    versions = [
        source.load_run_source(RunFolder.from_config(two_versions), version).rows.num_rows
        for version in (0, 1)
    ]
    assert versions == [2 * CLIPS, CLIPS]
    with pytest.raises(InputError, match="cannot open version 7"):
        source.load_run_source(RunFolder.from_config(two_versions), 7)


def test_nothing_of_this_disk_is_published(run: RunConfig, sounds: Path) -> None:
    for name, data in contents(sounds).items():
        assert str(Path(run.run).parent).encode() not in data, name
        assert b"/home/somebody" not in data, name
    train = pq.read_table(sounds / "data" / "train-00000-of-00001.parquet")
    assert train["captioner"].unique().to_pylist() == ["captioner@cccccccccccc"]


def test_a_relative_folder_is_not_taken_for_another(run: RunConfig, tmp_path: Path) -> None:
    folder = Path(run.run).parent
    copy = shutil.copytree(run.run, tmp_path / "run")
    record = copy / "run.json"
    record.write_text(record.read_text().replace(str(folder / "audio"), "audio"))
    with pytest.raises(InputError, match="call from the directory in which the run was started"):
        source.load_run_source(RunFolder(str(copy)))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert (
            source.load_run_source(RunFolder(str(copy))).rows["file"][0].as_py() == "a/tone00.flac"
        )


def test_audio_needs_licences(run: RunConfig) -> None:
    with pytest.raises(InputError, match="only if its licence allows it.*--licences"):
        publication(run, audio=True, licences=None)
    with pytest.raises(InputError, match="nothing to publish .40 clips: no licence is given"):
        publication(run, audio=True, licences=licences.Licences())


def test_clips_whose_licence_forbids_it_are_excluded_and_named(
    run: RunConfig, tmp_path: Path
) -> None:
    found = licences.read_catalog_licences(Storage(), run, "licence")
    done = publish_dataset(publication(run, audio=True, licences=found), str(tmp_path))
    reason = "licence 'all rights reserved' is not known to allow it"
    assert excluded_clips(done) == {f"b/tone{n:02d}": reason for n in range(1, CLIPS, 2)}
    rows = pq.read_table(tmp_path / "data" / "train-00000-of-00001.parquet")
    assert set(rows["licence"].to_pylist()) == {"cc-by-4.0"}
    assert rows["audio"].null_count == 0
    assert (tmp_path / "excluded.csv").read_text().count(reason) == CLIPS // 2
    assert "| cc-by-4.0 | 40 |" in (tmp_path / "README.md").read_text()


def test_licences_are_read_by_folder_from_a_csv(run: RunConfig, tmp_path: Path) -> None:
    (tmp_path / "licences.csv").write_text("source, licence\n*, CC BY-NC-ND 4.0\na, CC0\n")
    licence_map = licences.read_licences(Storage(), str(tmp_path / "licences.csv"))
    ready = publication(run, audio=True, licences=licence_map)
    assert set(ready.source.rows["clip_id"].to_pylist()) == {
        f"a/tone{n:02d}" for n in range(0, CLIPS, 2)
    }
    assert set(ready.excluded["reason"].to_pylist()) == {"cc-by-nc-nd-4.0 allows no derivatives"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"clip,licence\n", "line 1: found columns clip, licence; expected licence and either"),
        (b"", "found no line; expected a header"),
        (b'source,licence\n*,"CC0\n', "line 2: not CSV: unexpected end of data"),
        (b"source,licence\na,b,CC0\n", "line 2: found 3 fields in 'a,b,CC0'; expected 2"),
        (b"source,licence\n\xff,CC0\n", "not UTF-8"),
    ],
)
def test_licences_that_cannot_be_read_say_why(text: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "licences.csv").write_bytes(text)
    with pytest.raises(InputError, match=message):
        licences.read_licences(Storage(), str(tmp_path / "licences.csv"))


def test_a_long_licence_text_is_read(tmp_path: Path) -> None:
    (tmp_path / "licences.csv").write_text(f"source,licence\n*,{'x' * 200_000}\n")
    licences.read_licences(Storage(), str(tmp_path / "licences.csv"))


@pytest.mark.parametrize(
    ("text", "known", "allowed"),
    [
        ("https://creativecommons.org/licenses/by/3.0/", "cc-by-3.0", True),
        ("http://creativecommons.org/publicdomain/zero/1.0/", "cc0-1.0", True),
        ("Attribution Non-Commercial", "cc-by-nc", True),
        ("CC-BY-SA 4.0", "cc-by-sa-4.0", True),
        ("Creative Commons Attribution 4.0 International License", "cc-by-4.0", True),
        ("Creative Commons 0", "cc0-1.0", True),
        ("Attribution-NonCommercial-NoDerivs 4.0", "cc-by-nc-nd-4.0", False),
        ("CC BY-ND 4.0", "cc-by-nd-4.0", False),
        ("Sampling+", "Sampling+", False),
        ("by permission of the author", "by permission of the author", False),
    ],
)
def test_licences_are_known_by_id_name_and_url(text: str, known: str, allowed: bool) -> None:
    found = licences.parse_licence(text)
    assert (found.id, found.refused is None) == (known, allowed)


def test_audio_that_changed_or_went_is_excluded(tmp_path: Path) -> None:
    config = make_run(tmp_path, clips=6)
    (tmp_path / "audio" / "a" / "tone00.flac").write_bytes(b"another")
    (tmp_path / "audio" / "b" / "tone01.flac").unlink()
    done = publish_dataset(publication(config, audio=True), str(tmp_path / "out"))
    assert excluded_clips(done) == {
        "a/tone00": "its audio file has changed since it was annotated",
        "b/tone01": "its audio file is no longer there",
    }
    assert done.summary and done.summary.total.clips == 4
    listed = (tmp_path / "out" / "excluded.csv").read_text()
    assert listed.splitlines()[1:] == [
        f"{clip},{why}" for clip, why in excluded_clips(done).items()
    ]


def test_a_dry_run_measures_what_would_be_written(run: RunConfig, sounds: Path) -> None:
    estimate = estimate_size(publication(run, *DatasetFormat, audio=True))
    assert estimate.captions == 2 * CLIPS and sum(estimate.clips.values()) == CLIPS
    for folder in ("data", "webdataset", "jsonl"):
        files = [path for path in (sounds / folder).rglob("*") if path.is_file()]
        written = [path.stat().st_size for path in files if path.name != "sizes.json"]
        assert estimate.files[folder] == len(written)
        assert 0.7 * sum(written) < estimate.size_bytes[folder] < 1.4 * sum(written)


def test_a_dry_run_finds_what_is_in_the_way(run: RunConfig, captions: Path) -> None:
    destination, _ = claim_destination(publication(run, *WITHOUT_AUDIO), str(captions), None)
    assert destination.finished
    with pytest.raises(InputError, match=r"another publication \(differing: options"):
        claim_destination(publication(run, DatasetFormat.JSONL), str(captions), None)


def test_tars_without_audio_and_shares_without_train_are_refused() -> None:
    with pytest.raises(InputError, match="its tars contain audio"):
        PublishOptions("x", (DatasetFormat.WEBDATASET,))
    with pytest.raises(InputError, match="leave some for train"):
        PublishOptions("x", validation=0.5, test=0.5)


@pytest.mark.parametrize("bucket", ["s3_folder", "memory:/"])
def test_a_bucket_gets_the_same_files_however_often_it_is_stopped(
    run: RunConfig, captions: Path, bucket: str, request: pytest.FixtureRequest
) -> None:
    root = bucket if bucket == "memory:/" else request.getfixturevalue(bucket)
    to = f"{root}/data/set"
    patch = request.getfixturevalue("monkeypatch")
    for files in (2, 5):  # in the middle of the first shard, then of those that follow
        with cut_after(files, patch):
            publish_dataset(publication(run, *WITHOUT_AUDIO), to)
    publish_dataset(publication(run, *WITHOUT_AUDIO), to)
    found = {file.uri.partition("data/set/")[2]: file.uri for file in Storage().list_files(to)}
    assert {name: Storage().read_bytes(uri) for name, uri in found.items()} == contents(captions)
    assert publish_dataset(publication(run, *WITHOUT_AUDIO), to).summary is None
    Storage().put(f"{to}/README.md", b"mine")
    with pytest.raises(InputError, match="README.md: already there with other content"):
        publish_dataset(publication(run, *WITHOUT_AUDIO), to)
