"""A run to publish: sounds that are there, evidence as workers write it, captions as asked for."""

import csv
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import soundfile

from curation.audio.decode import sha256_hex
from curation.catalog.catalog import list_clips
from curation.config.run import RunConfig
from curation.publish import source
from curation.publish.licences import Licences
from curation.publish.options import DatasetFormat, PublishOptions
from curation.publish.publication import Publication, prepare_publication
from curation.publish.publish import PublishResult, publish_dataset
from curation.run import catalog_plan, evidence, plan
from curation.run.config_file import parse_run_config
from curation.run.layout import RunFolder
from curation.run.record import write_run_record
from curation.schema import EVIDENCE_SCHEMA
from curation.select import apply
from curation.storage.files import Storage

RATE_HZ = 16000
CLIPS = 40
MODELS = {
    "captioner": {"model": "/home/somebody/captioner", "weights_sha256": "c" * 64},
    "scorer": {"model": "org/scorer", "revision": "r1"},
}
# Half of the clips may be passed on.
LICENCES = ("CC BY 4.0", "all rights reserved")
WITHOUT_AUDIO = (DatasetFormat.PARQUET, DatasetFormat.JSONL)
OPEN = Licences(by_source={"*": "cc0"})

Row = dict[str, Any]


def caption_of(clip: int) -> str:
    return f"sound {clip} is heard"


def make_run(
    folder: Path,
    caption: Callable[[int], str] = caption_of,
    clips: int = CLIPS,
    models: Mapping[str, dict[str, str]] = MODELS,
    change_row: Callable[[Row], None] = lambda row: None,
    **sections: Any,
) -> RunConfig:
    """A selected run of short tones, two captions a clip, by models that nobody has.

    Args:
        change_row: changes a row of evidence.
        sections: of the run's YAML, beside the catalog.
    """
    write_sounds(folder / "audio", folder / "clips.csv", clips)
    config = parse_run_config(
        {
            "run": str(folder / "run"),
            "catalog": {
                "kind": "folder",
                "audio": str(folder / "audio"),
                "metadata": str(folder / "clips.csv"),
            },
            "annotate": {"shard_clips": 16},
            "select": {"max_per_clip": 2},
            **sections,
        },
        "test",
    )
    clips_listed = list_clips(Storage(), config.catalog).clips
    planned = plan.build_plan(clips_listed, config.annotate.shard_clips)
    plan.write_plan(RunFolder.from_config(config), clips_listed, planned)
    record = catalog_plan.build_run_record(config, planned, dict(models))
    assert write_run_record(RunFolder.from_config(config), record)
    for shard in range(planned.shards):
        write_shard(config, shard, caption, change_row)
    apply.select_pairs(config)
    return config


def write_sounds(folder: Path, metadata: Path, clips: int) -> None:
    """Tones of 0.3 s in two folders, and what a catalog's CSV says of them."""
    with metadata.open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["file", "tags", "licence"])
        for clip in range(clips):
            path = f"{'ab'[clip % 2]}/tone{clip:02d}.flac"
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            time_s = np.arange(int(0.3 * RATE_HZ)) / RATE_HZ
            tone = 0.5 * np.sin(2 * math.pi * (200 + 10 * clip) * time_s)
            soundfile.write(folder / path, tone, RATE_HZ, subtype="PCM_16")
            lines.writerow([path, "Dog;Rain", LICENCES[clip % 2]])


def write_shard(
    config: RunConfig, shard: int, caption: Callable[[int], str], change_row: Callable[[Row], None]
) -> None:
    rows = []
    for clip in plan.read_plan_shard(RunFolder.from_config(config), shard).to_pylist():
        number = int(clip["clip_id"][-2:])
        first = {"caption": caption(number), "method": "beam", "log_prob": -1.0, "clap_score": 0.5}
        second = {**first, "caption": f"another of {number}", "clap_score": 0.25}
        row = {
            **clip,
            "start_s": 0.0,
            "end_s": 0.3,
            "audio_sha256": sha256_hex(Path(clip["uri"]).read_bytes()),
            "guidance": ["dog", "rain"],
            "candidates": [first, second],
            "outcome": "ok",
        }
        change_row(row)
        rows.append(row)
    evidence.write_evidence_shard(
        RunFolder.from_config(config), shard, pa.Table.from_pylist(rows, EVIDENCE_SCHEMA)
    )


def publication(
    config: RunConfig,
    *formats: DatasetFormat,
    audio: bool = False,
    licences: Licences | None = OPEN,
) -> Publication:
    """Of a run's newest version, with enough in each split."""
    options = PublishOptions(
        "tones",
        formats or (DatasetFormat.PARQUET,),
        audio,
        RATE_HZ,
        validation=0.2,
        test=0.2,
        creator="somebody",
        url="https://example.org/tones",
    )
    return prepare_publication(
        source.load_run_source(RunFolder.from_config(config)), options, licences
    )


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    """A run that is read alone."""
    return make_run(tmp_path_factory.mktemp("published"))


@pytest.fixture(scope="session")
def captions(run: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Captions alone, as the default and as manifests; to be read alone."""
    folder = tmp_path_factory.mktemp("captions")
    publish_dataset(publication(run, *WITHOUT_AUDIO), str(folder))
    return folder


@pytest.fixture(scope="session")
def sounds(run: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With audio, in every format; to be read alone."""
    folder = tmp_path_factory.mktemp("sounds")
    publish_dataset(publication(run, *DatasetFormat, audio=True), str(folder))
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """Each file's bytes by its path within."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def excluded_clips(done: PublishResult) -> dict[str, str]:
    """Why each clip stays out."""
    columns = (done.excluded[name].to_pylist() for name in ("clip_id", "reason"))
    return dict(zip(*columns, strict=True))
