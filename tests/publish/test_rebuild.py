"""Rebuilding: captions without audio and a folder of audio are the dataset with audio again."""

import csv
import io
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from curation.audio.decode import sha256_hex
from curation.catalog import audioset
from curation.config.run import RunConfig
from curation.errors import InputError
from curation.publish.options import DatasetFormat
from curation.publish.publication import prepare_publication
from curation.publish.publish import PublishResult, publish_dataset
from curation.publish.rebuild import AudioCoverage, build_rebuild_options, load_rebuild_source
from curation.run import catalog_plan
from curation.run import evidence as run_evidence
from curation.run.config_file import parse_run_config
from curation.run.layout import RunFolder
from curation.schema import EVIDENCE_SCHEMA
from curation.select import apply
from curation.storage.files import Storage
from tests.publish.conftest import CLIPS, RATE_HZ, excluded_clips, publication
from tests.support import in_process

FROM_S = 1.0


def rebuild(
    dataset: Path, folder: Path, out: Path, files: str = "cut"
) -> tuple[PublishResult, AudioCoverage]:
    source, options, coverage = load_rebuild_source(Storage(), str(dataset), str(folder), files)  # type: ignore[arg-type]
    ready = prepare_publication(
        source, build_rebuild_options(options, [DatasetFormat.PARQUET], RATE_HZ), None
    )
    return publish_dataset(ready, str(out)), coverage


def rows_of(dataset: Path) -> pa.Table:
    parts = [pq.read_table(path) for path in sorted((dataset / "data").iterdir())]
    return pa.concat_tables(parts).replace_schema_metadata(None)


def audio_of(run: RunConfig) -> Path:
    return Path(run.run).parent / "audio"


def test_the_rebuilt_dataset_is_that_with_audio(
    run: RunConfig, captions: Path, sounds: Path, tmp_path: Path
) -> None:
    done, coverage = rebuild(captions, audio_of(run), tmp_path / "rebuilt")
    assert coverage.message == f"{CLIPS} of {CLIPS} clips have a file (100.0 %)"
    assert (done.same, done.other) == (CLIPS, 0)
    names = [path.name for path in sorted((tmp_path / "rebuilt" / "data").iterdir())]
    assert names == [path.name for path in sorted((captions / "data").iterdir())]
    expected = rows_of(sounds).drop_columns("licence")
    assert rows_of(tmp_path / "rebuilt").equals(expected)


def test_files_in_another_format_are_found_and_counted(
    run: RunConfig, captions: Path, tmp_path: Path
) -> None:
    shutil.copytree(audio_of(run), tmp_path / "audio")
    flac = tmp_path / "audio" / "a" / "tone00.flac"
    soundfile.write(flac.with_suffix(".wav"), *soundfile.read(flac), subtype="PCM_16")
    flac.unlink()
    (tmp_path / "audio" / "b" / "tone01.flac").unlink()
    (tmp_path / "audio" / "b" / "tone03.flac").write_bytes(b"no sound")
    done, coverage = rebuild(captions, tmp_path / "audio", tmp_path / "out")
    assert coverage == AudioCoverage(CLIPS, CLIPS - 1)
    assert (done.same, done.other) == (CLIPS - 3, 1)
    assert excluded_clips(done) == {"b/tone03": "its audio cannot be decoded: unknown_format"}


def test_a_folder_without_any_of_the_clips_is_refused(captions: Path, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=f"any of the {CLIPS} clips.*names such as 'a/tone00.flac'"
    ):
        load_rebuild_source(Storage(), str(captions), str(tmp_path))
    with pytest.raises(InputError, match="expected a finished dataset"):
        load_rebuild_source(Storage(), str(tmp_path), str(tmp_path))


def test_a_dataset_with_audio_needs_no_rebuilding(run: RunConfig, sounds: Path) -> None:
    with pytest.raises(InputError, match="it already contains audio"):
        load_rebuild_source(Storage(), str(sounds), str(audio_of(run)))


def noise(seconds: float, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, int(seconds * RATE_HZ))


def whole_recordings(folder: Path) -> RunConfig:
    """Two segments of whole recordings, as AudioSet lists them, each used in its middle."""
    (folder / "whole").mkdir()
    lines = ["# YTID, start_seconds, end_seconds, positive_labels"]
    for place, ytid in enumerate(("abcdefghijk", "Yb_defg-ijk")):
        soundfile.write(folder / "whole" / f"{ytid}.flac", noise(3, place), RATE_HZ)
        lines.append(f'{ytid}, {FROM_S:.3f}, 2.000, "/m/0bt9lr"')
    (folder / "segments.csv").write_text("\n".join(lines))
    catalog = {
        "kind": "audioset",
        "segments": str(folder / "segments.csv"),
        "audio": str(folder / "whole"),
        "files": "whole",
    }
    sections = {"catalog": catalog, "annotate": {"shard_clips": 2}}
    config = parse_run_config({"run": str(folder / "run"), **sections}, "test")
    catalog_plan.create_plan(config)
    listed = audioset.list_audioset_clips(Storage(), config.catalog).clips  # type: ignore[arg-type]
    candidate = {"caption": "noise", "method": "beam", "log_prob": -1.0, "clap_score": 0.5}
    rows = [
        {
            **clip,
            "start_s": FROM_S + 0.25,
            "end_s": FROM_S + 0.75,
            "audio_sha256": sha256_hex(Path(clip["uri"]).read_bytes()),
            "guidance": [],
            "candidates": [candidate],
            "outcome": "ok",
        }
        for clip in listed.sort_by("clip_id").to_pylist()
    ]
    run_evidence.write_evidence_shard(
        RunFolder.from_config(config), 0, pa.Table.from_pylist(rows, EVIDENCE_SCHEMA)
    )
    apply.select_pairs(config)
    return config


def test_segments_are_the_same_in_cut_clips_and_in_whole_recordings(tmp_path: Path) -> None:
    publish_dataset(publication(whole_recordings(tmp_path)), str(tmp_path / "captions"))
    rows = rows_of(tmp_path / "captions")
    assert set(zip(*(rows[name].to_pylist() for name in ("start_s", "end_s")), strict=True)) == {
        (0.25, 0.75)
    }
    (tmp_path / "cut").mkdir()
    for path in (tmp_path / "whole").iterdir():
        samples, rate_hz = soundfile.read(path)
        start = int(FROM_S * rate_hz)
        cut = tmp_path / "cut" / f"{path.stem}_1000.wav"
        soundfile.write(cut, samples[start : start + rate_hz], rate_hz, subtype="PCM_16")
    whole, _ = rebuild(tmp_path / "captions", tmp_path / "whole", tmp_path / "one", "whole")
    cut_clips, _ = rebuild(tmp_path / "captions", tmp_path / "cut", tmp_path / "two")
    assert (whole.same, whole.other) == (2, 0)
    assert (cut_clips.same, cut_clips.other) == (0, 2)
    sounds = [rows_of(tmp_path / name)["audio"].to_pylist() for name in ("one", "two")]
    assert sounds[0] == sounds[1]
    samples, _ = soundfile.read(io.BytesIO(sounds[0][0]["bytes"]), dtype="float64")
    assert len(samples) == RATE_HZ // 2


def test_real_recordings_come_back_whole(shared_data: Path, tmp_path: Path) -> None:
    """ESC-10's first recordings, captioned by the reference models, published, and rebuilt."""
    with (shared_data / "esc10" / "clips.csv").open(newline="") as lines:
        listed = list(csv.DictReader(lines))[:12]
    with (tmp_path / "clips.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, listed[0])
        writer.writeheader()
        writer.writerows(listed)
    config = parse_run_config(
        {
            "run": str(tmp_path / "run"),
            "catalog": {
                "kind": "folder",
                "audio": str(shared_data / "esc10" / "audio"),
                "metadata": str(tmp_path / "clips.csv"),
                "tags": "audioset_mids",
            },
        },
        "test",
    )
    evidence = in_process.annotate_in_process(config)
    apply.select_pairs(config)
    publish_dataset(publication(config), str(tmp_path / "captions"))
    done, coverage = rebuild(
        tmp_path / "captions", shared_data / "esc10" / "audio", tmp_path / "rebuilt"
    )
    assert coverage == AudioCoverage(12, 12) and (done.same, done.other) == (12, 0)
    total_s = sum(evidence["duration_s"].to_pylist())
    assert done.summary and done.summary.total.seconds == pytest.approx(total_s, abs=0.01)
