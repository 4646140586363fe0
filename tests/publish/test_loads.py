"""A published dataset as others load it, by their own libraries; each is imported where it is used,
since most of them are slow to import."""

import io
import json
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from curation.catalog.catalog import list_clips
from curation.catalog.clip_bytes import read_clip_bytes
from curation.config.catalog import WebDatasetConfig
from curation.config.run import RunConfig
from curation.publish.text import to_file_key
from curation.storage.files import Storage
from tests.publish.conftest import CLIPS, RATE_HZ

CAPTIONS = {f"sound {n} is heard" for n in range(CLIPS)} | {f"another of {n}" for n in range(CLIPS)}
SPLITS = {"train", "validation", "test"}


def train_rows(folder: Path) -> Any:
    return pq.read_table(folder / "data" / "train-00000-of-00001.parquet")


def test_datasets_loads_captions_streaming_and_not(captions: Path, tmp_path: Path) -> None:
    from datasets import load_dataset

    loaded = load_dataset(str(captions), cache_dir=str(tmp_path))
    assert set(loaded) == SPLITS
    assert {text for split in loaded.values() for text in split["caption"]} == CAPTIONS
    assert loaded["train"][0]["tags"][0]["name"] == "Dog"
    assert loaded["train"][0]["guidance"] == ["dog", "rain"]
    streamed = list(load_dataset(str(captions), streaming=True)["train"])
    assert streamed == list(loaded["train"])


def test_datasets_knows_the_audio(sounds: Path, tmp_path: Path) -> None:
    from datasets import Audio, load_dataset

    streamed = load_dataset(str(sounds), streaming=True, split="train")
    assert streamed.features["audio"] == Audio(sampling_rate=RATE_HZ)
    row = next(iter(streamed.cast_column("audio", Audio(decode=False))))
    waveform, rate_hz = soundfile.read(io.BytesIO(row["audio"]["bytes"]))
    assert (len(waveform), rate_hz) == (int(0.3 * RATE_HZ), RATE_HZ)
    # The tone is its clip's: what was annotated is what is loaded.
    loudest = np.abs(np.fft.rfft(waveform)).argmax() * RATE_HZ / len(waveform)
    assert loudest == pytest.approx(200 + 10 * int(row["clip_id"][-2:]), abs=4)


DECODE = """
import sys
from datasets import load_dataset
for split in (load_dataset(sys.argv[1], streaming=True, split="train"),
              load_dataset(sys.argv[1], cache_dir=sys.argv[2], split="train")):
    row = next(iter(split))
    samples = row["audio"].get_all_samples()
    print(row["clip_id"], tuple(samples.data.shape), samples.sample_rate)
"""


def test_datasets_decodes_the_audio(sounds: Path, tmp_path: Path) -> None:
    """By torchcodec, to which PyAV's FFmpeg is shown under the names that it looks for."""
    pytest.importorskip("torchcodec")
    bundled = Path(av.__file__).parents[1] / "av.libs"
    if not bundled.is_dir():
        pytest.skip("this PyAV brings no FFmpeg of its own")
    for library in bundled.glob("lib[as][vw]*.so.*"):
        name, _, rest = library.name.partition("-")
        major = rest.partition(".so.")[2].partition(".")[0]
        (tmp_path / f"{name}.so.{major}").symlink_to(library)
    command = [sys.executable, "-c", DECODE, str(sounds), str(tmp_path / "cache")]
    environment = {"LD_LIBRARY_PATH": f"{tmp_path}:{bundled}", "HOME": str(tmp_path)}
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert ended.returncode == 0, ended.stderr
    first = train_rows(sounds)["clip_id"][0].as_py()
    assert ended.stdout.splitlines() == [f"{first} (1, {int(0.3 * RATE_HZ)}) {RATE_HZ}"] * 2


def test_pandas_duckdb_and_polars_read_the_same_rows(captions: Path) -> None:
    import duckdb
    import pandas
    import polars

    pattern = str(captions / "data" / "*.parquet")
    frame = polars.read_parquet(pattern)
    assert set(frame["caption"]) == CAPTIONS
    rows = duckdb.sql(f"select caption, tags[1].name from '{pattern}' where rank = 2").fetchall()
    assert {text for text, _ in rows} == {text for text in CAPTIONS if "another" in text}
    assert {tag for _, tag in rows} == {"Dog"}
    read = [pandas.read_parquet(path) for path in sorted((captions / "data").iterdir())]
    assert set(pandas.concat(read)["caption"]) == CAPTIONS


@pytest.mark.parametrize("which", ["captions", "sounds"])
def test_mlcroissant_validates_and_reads_the_records(
    which: str, request: pytest.FixtureRequest
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations of its dependencies
        import mlcroissant

    folder: Path = request.getfixturevalue(which)
    dataset = mlcroissant.Dataset(jsonld=folder / "croissant.json")
    assert not dataset.metadata.ctx.issues.errors
    assert not dataset.metadata.ctx.issues.warnings
    records = list(dataset.records("pairs"))
    assert {record["pairs/caption"].decode() for record in records} == CAPTIONS
    assert {record["pairs/rank"] for record in records} == {1, 2}
    assert [text.decode() for text in records[0]["pairs/guidance"]] == ["dog", "rain"]


def test_webdataset_gives_what_open_clip_and_laion_clap_read(sounds: Path) -> None:
    """open_clip: `txt` beside the sound; LAION-CLAP: `flac` and `json` with `text` and `tag`, and
    `sizes.json` beside the tars for both."""
    import webdataset

    tars = sorted(str(path) for path in (sounds / "webdataset" / "train").glob("*.tar"))
    samples = list(webdataset.WebDataset(tars, shardshuffle=False).decode())
    clips = train_rows(sounds)["clip_id"].unique().to_pylist()
    assert [sample["json"]["clip_id"] for sample in samples] == clips
    for sample in samples:
        number = int(sample["json"]["clip_id"][-2:])
        assert sample["txt"] == f"sound {number} is heard"
        assert sample["json"]["text"] == [sample["txt"], f"another of {number}"]
        assert sample["json"]["tag"] == ["Dog", "Rain"]
        assert soundfile.info(io.BytesIO(sample["flac"])).samplerate == RATE_HZ
    sizes = json.loads((sounds / "webdataset" / "train" / "sizes.json").read_text())
    assert sizes == {"00000.tar": len(samples)}


def test_the_own_catalog_reads_tars_as_they_were_published(sounds: Path) -> None:
    config = WebDatasetConfig(data=str(sounds / "webdataset"))
    tars = {row["clip_id"]: row for row in list_clips(Storage(), config).clips.to_pylist()}
    rows = pq.read_table(sounds / "data").to_pylist()
    assert len(tars) == len({row["clip_id"] for row in rows}) > 0
    for row in rows:
        sample = tars[to_file_key(row["clip_id"])]
        assert sample["tags"] == row["tags"]
        assert read_clip_bytes(Storage(), sample["uri"])[0] == row["audio"]["bytes"]


def test_lhotse_reads_recordings_and_supervisions(sounds: Path) -> None:
    from lhotse import CutSet, RecordingSet, SupervisionSet, validate

    folder = sounds / "jsonl"
    name = "train-00000-of-00001.jsonl"
    recordings = RecordingSet.from_file(folder / f"lhotse-recordings-{name}")
    supervisions = SupervisionSet.from_file(folder / f"lhotse-supervisions-{name}")
    cuts = CutSet.from_manifests(recordings.with_path_prefix(folder), supervisions)
    validate(cuts)
    cut = next(iter(cuts))
    assert cut.load_audio().shape == (1, int(0.3 * RATE_HZ))
    number = int(cut.recording_id[-2:])
    texts = {supervision.text for supervision in cut.supervisions}
    assert texts == {f"sound {number} is heard", f"another of {number}"}


def test_nemo_finds_the_audio_beside_its_manifest(sounds: Path) -> None:
    manifest = sounds / "jsonl" / "nemo-train-00000-of-00001.jsonl"
    rows = [json.loads(line) for line in manifest.read_text().splitlines()]
    assert len(rows) == train_rows(sounds).num_rows
    for row in rows:
        found = soundfile.info(manifest.parent / row["audio_filepath"])
        assert (row["offset"], row["duration"]) == (0.0, found.duration)
        assert row["text"] in CAPTIONS


def test_manifests_without_audio_name_the_files_of_the_source(
    run: RunConfig, captions: Path
) -> None:
    manifest = captions / "jsonl" / "nemo-train-00000-of-00001.jsonl"
    for row in map(json.loads, manifest.read_text().splitlines()):
        assert (Path(run.run).parent / "audio" / row["audio_filepath"]).is_file()
        assert (row["offset"], row["duration"]) == (0.0, 0.3)
    assert not list((captions / "jsonl").glob("lhotse-recordings*"))
