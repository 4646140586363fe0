"""Publishing: the same again is the same bytes, nothing is overwritten, no audio goes unasked."""

import hashlib
import json
from collections import defaultdict
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from curation import run as runs
from curation import storage, table
from curation.config import RunConfig
from curation.errors import InputError
from curation.publish import licences, source
from curation.publish.options import Format, Options
from curation.publish.publication import outlook, prepare
from curation.publish.publish import Published, claimed, publish
from curation.select import apply
from tests.publish.conftest import CLIPS, make_run, publication

EVERY = (Format.PARQUET, Format.WEBDATASET, Format.JSONL)


def told(done: Published) -> dict[str, str]:
    columns = (done.left_out[name].to_pylist() for name in ("clip_id", "reason"))
    return dict(zip(*columns, strict=True))


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_the_same_run_is_published_as_the_same_bytes(run: RunConfig, tmp_path: Path) -> None:
    for name in ("one", "two"):
        publish(publication(run, *EVERY, audio=True), str(tmp_path / name))
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_checksums_are_those_of_the_files(run: RunConfig, tmp_path: Path) -> None:
    done = publish(publication(run), str(tmp_path))
    found = contents(tmp_path)
    lines = found.pop("SHA256SUMS").decode().splitlines()
    assert lines == [f"{hashlib.sha256(found[p]).hexdigest()}  {p}" for p in sorted(found)]
    assert done.files == len(lines) == 7


def test_all_captions_of_a_clip_are_in_one_split(run: RunConfig, tmp_path: Path) -> None:
    publish(publication(run), str(tmp_path))
    splits = defaultdict(list)
    for path in sorted((tmp_path / "data").iterdir()):
        for clip_id in pq.read_table(path)["clip_id"].to_pylist():
            splits[clip_id].append(path.name.partition("-")[0])
    assert len(splits) == CLIPS
    assert all(len(names) == 2 and len(set(names)) == 1 for names in splits.values())
    assert {name for names in splits.values() for name in names} == {"train", "validation", "test"}


def test_an_interrupted_publication_goes_on(run: RunConfig, tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        publish(publication(run, *EVERY, audio=True), str(tmp_path / "cut"), update=stop)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "cut" / "data").iterdir()}
    assert len(before) == 1 and not (tmp_path / "cut" / "SHA256SUMS").exists()
    publish(publication(run, *EVERY, audio=True), str(tmp_path / "cut"))
    assert {path: path.stat().st_mtime_ns for path in before} == before
    publish(publication(run, *EVERY, audio=True), str(tmp_path / "whole"))
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


def test_what_is_published_already_is_checked_and_left_alone(
    run: RunConfig, tmp_path: Path
) -> None:
    publish(publication(run), str(tmp_path))
    before = contents(tmp_path)
    again = publish(publication(run), str(tmp_path))
    assert again.summary is None and again.files == 7
    assert contents(tmp_path) == before
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(InputError, match="README.md: already there with other content"):
        publish(publication(run), str(tmp_path))


@pytest.mark.parametrize("name", ["README.md", "data/test-00000-of-00001.parquet"])
def test_a_file_of_somebody_else_is_never_overwritten(
    run: RunConfig, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")
    with pytest.raises(InputError, match=f"{name}: already there with other content.*delete it"):
        publish(publication(run), str(tmp_path))
    assert (tmp_path / name).read_text() == "mine"


def test_another_version_goes_elsewhere_with_a_changelog(tmp_path: Path) -> None:
    config = make_run(tmp_path)
    publish(publication(config), str(tmp_path / "v0"))
    policy = config.select.model_copy(update={"per_clip": 1})
    apply.select(config.model_copy(update={"select": policy}))
    with pytest.raises(InputError, match=r"another publication \(differing: .*--previous"):
        publish(publication(config), str(tmp_path / "v0"))
    publish(publication(config), str(tmp_path / "v1"), previous=str(tmp_path / "v0"))
    log = (tmp_path / "v1" / "CHANGELOG.md").read_text()
    assert f"Pairs: {CLIPS} as before, 0 new, {CLIPS} gone, against version 0." in log
    assert "policy.per\\_clip: 2 before, 1 now." in log
    assert log.index("## Version 1") < log.index("## Version 0")


def test_an_older_version_is_published_when_asked_for(tmp_path: Path) -> None:
    config = make_run(tmp_path)
    policy = config.select.model_copy(update={"per_clip": 1})
    apply.select(config.model_copy(update={"select": policy}))
    versions = [source.of_run(config.run, version).rows.num_rows for version in (0, 1)]
    assert versions == [2 * CLIPS, CLIPS]
    with pytest.raises(InputError, match="cannot open version 7"):
        source.of_run(config.run, 7)


def test_nothing_of_this_disk_is_published(run: RunConfig, tmp_path: Path) -> None:
    publish(publication(run, *EVERY, audio=True), str(tmp_path))
    for name, data in contents(tmp_path).items():
        assert str(Path(run.run).parent).encode() not in data, name
        assert b"/home/somebody" not in data, name
    train = pq.read_table(tmp_path / "data" / "train-00000-of-00001.parquet")
    assert train["captioner"].unique().to_pylist() == ["captioner@cccccccccccc"]


def test_a_relative_folder_is_not_taken_for_another(tmp_path: Path) -> None:
    config = make_run(tmp_path)
    record = tmp_path / "run" / "run.json"
    record.write_text(record.read_text().replace(str(tmp_path / "audio"), "audio"))
    with pytest.raises(InputError, match="call from where the run was called"):
        source.of_run(config.run)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        assert source.of_run(config.run).rows["file"][0].as_py() == "a/tone00.flac"


def test_audio_needs_licences(run: RunConfig) -> None:
    with pytest.raises(InputError, match="only where its licence allows it.*--licences"):
        publication(run, audio=True, licences=None)
    with pytest.raises(InputError, match="nothing to publish .40 clips: no licence is told"):
        publication(run, audio=True, licences=licences.Licences())


def test_clips_whose_licence_forbids_it_are_left_out_and_named(
    run: RunConfig, tmp_path: Path
) -> None:
    found = licences.of_catalog(run, "licence")
    done = publish(publication(run, audio=True, licences=found), str(tmp_path))
    reason = "licence 'all rights reserved' is not known to allow it"
    assert told(done) == {f"b/tone{n:02d}": reason for n in range(1, CLIPS, 2)}
    rows = pq.read_table(tmp_path / "data" / "train-00000-of-00001.parquet")
    assert set(rows["licence"].to_pylist()) == {"cc-by-4.0"}
    assert rows["audio"].null_count == 0
    assert (tmp_path / "left_out.csv").read_text().count(reason) == CLIPS // 2
    assert "| cc-by-4.0 | 40 |" in (tmp_path / "README.md").read_text()


def test_licences_are_read_by_folder_from_a_csv(run: RunConfig, tmp_path: Path) -> None:
    (tmp_path / "licences.csv").write_text("source, licence\n*, CC BY-NC-ND 4.0\na, CC0\n")
    told = licences.read(str(tmp_path / "licences.csv"))
    ready = publication(run, audio=True, licences=told)
    assert set(ready.source.rows["clip_id"].to_pylist()) == {
        f"a/tone{n:02d}" for n in range(0, CLIPS, 2)
    }
    assert set(ready.left_out["reason"].to_pylist()) == {"cc-by-nc-nd-4.0 allows no derivatives"}
    (tmp_path / "licences.csv").write_text("clip,licence\n")
    with pytest.raises(InputError, match="found columns clip, licence; expected"):
        licences.read(str(tmp_path / "licences.csv"))


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
    found = licences.judge(text)
    assert (found.id, found.refused is None) == (known, allowed)


def test_audio_that_changed_or_went_is_left_out(tmp_path: Path) -> None:
    config = make_run(tmp_path)
    (tmp_path / "audio" / "a" / "tone00.flac").write_bytes(b"another")
    (tmp_path / "audio" / "b" / "tone01.flac").unlink()
    done = publish(publication(config, audio=True), str(tmp_path / "out"))
    assert told(done) == {
        "a/tone00": "its audio file has changed since it was annotated",
        "b/tone01": "its audio file is no longer there",
    }
    assert done.summary and done.summary.total.clips == CLIPS - 2
    listed = (tmp_path / "out" / "left_out.csv").read_text()
    assert listed.splitlines()[1:] == [f"{clip},{why}" for clip, why in told(done).items()]


def test_a_dry_run_measures_what_would_be_written(run: RunConfig, tmp_path: Path) -> None:
    ready = publication(run, *EVERY, audio=True)
    told = outlook(ready)
    publish(ready, str(tmp_path))
    for folder in ("data", "webdataset", "jsonl"):
        files = [path for path in (tmp_path / folder).rglob("*") if path.is_file()]
        written = [path.stat().st_size for path in files if path.name != "sizes.json"]
        assert told.files[folder] == len(written)
        assert 0.5 * sum(written) < told.size_bytes[folder] < 2 * sum(written)


def test_a_dry_run_finds_what_is_in_the_way(run: RunConfig, tmp_path: Path) -> None:
    publish(publication(run), str(tmp_path))
    destination, _ = claimed(publication(run), str(tmp_path), None)
    assert destination.finished
    with pytest.raises(InputError, match=r"another publication \(differing: options"):
        claimed(publication(run, Format.JSONL), str(tmp_path), None)


def test_tars_without_audio_and_shares_without_train_are_refused() -> None:
    with pytest.raises(InputError, match="goes with audio alone"):
        Options("x", (Format.WEBDATASET,))
    with pytest.raises(InputError, match="leave some for train"):
        Options("x", validation=0.5, test=0.5)


def test_the_card_tells_the_run(run: RunConfig, tmp_path: Path) -> None:
    publish(publication(run), str(tmp_path))
    text = (tmp_path / "README.md").read_text()
    header = yaml.safe_load(text.split("---\n")[1])
    assert header["configs"][0]["data_files"][0] == {
        "split": "train",
        "path": "data/train-*.parquet",
    }
    assert header["size_categories"] == ["n<1K"]
    assert f"{2 * CLIPS} captions of {CLIPS} clips" in text
    assert f"| captioner | captioner (`{'c' * 64}`) |" in text
    assert "| scorer | org/scorer (`r1`) |" in text
    version = table.newest(runs.table_uri(run.run))
    assert version and f"| selection | `{version.lineage['selection']}` |" in text


@pytest.mark.parametrize("kind", ["s3", "memory"])
def test_a_bucket_gets_the_same_files(
    run: RunConfig, tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    to = f"{request.getfixturevalue('s3_folder') if kind == 's3' else 'memory:/'}/data/set"
    publish(publication(run), str(tmp_path))
    publish(publication(run), to)
    found = {file.uri.partition("data/set/")[2]: file.uri for file in storage.list_files(to)}
    assert {name: storage.read_bytes(uri) for name, uri in found.items()} == contents(tmp_path)
    assert publish(publication(run), to).summary is None
    storage.put(f"{to}/README.md", b"mine")
    with pytest.raises(InputError, match="README.md: already there with other content"):
        publish(publication(run), to)


def test_the_facts_name_the_source(run: RunConfig, tmp_path: Path) -> None:
    publish(publication(run), str(tmp_path))
    claim = json.loads((tmp_path / "dataset.json").read_text())["claim"]
    assert claim["origin"]["policy"]["per_clip"] == 2
    assert claim["origin"]["table_version"] == 0
    assert prepare(source.of_run(run.run), Options("other"), None).claim["rows"] == claim["rows"]
