"""Small runs: over the procedural corpus, or only planned, with evidence of chosen values."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import yaml
from pydantic import BaseModel

from curation.config.run import RunConfig
from curation.run import catalog_plan, evidence, plan
from curation.run.config_file import parse_run_config
from curation.run.layout import RunFolder
from curation.run.record import write_run_record
from curation.schema import CLIP_SCHEMA, EVIDENCE_SCHEMA

MODELS = {"captioner": {"model": "none"}, "scorer": {"model": "none"}}


def corpus_run(corpus: Path, folder: Path, **sections: object) -> RunConfig:
    """A run over the corpus, in four shards, by the reference models."""
    return parse_run_config(
        {
            "run": str(folder),
            "catalog": {
                "kind": "audioset",
                "segments": str(corpus / "segments_noisy.csv"),
                "audio": str(corpus / "audio"),
            },
            "annotate": {"shard_clips": 10, "actors": 2},
            **sections,
        },
        "test",
    )


def copy_run(run: RunConfig, folder: Path) -> RunConfig:
    """An annotated run in another folder, nothing selected of it yet."""
    shutil.copytree(run.run, folder, ignore=shutil.ignore_patterns("table", "decisions"))
    return run.model_copy(update={"run": str(folder)})


def write_yaml(config: BaseModel, folder: Path) -> Path:
    """A configuration as the file that a command reads."""
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    return path


def planned_run(folder: Path, clips: int, shard_clips: int, **sections: object) -> RunConfig:
    """A planned run of clips that lie nowhere."""
    config = parse_run_config(
        {
            "run": str(folder / "run"),
            "catalog": {"kind": "folder", "audio": str(folder)},
            "annotate": {"shard_clips": shard_clips},
            **sections,
        },
        "test",
    )
    rows = [{"clip_id": f"clip{n:05d}", "uri": f"/{n}.wav", "tags": []} for n in range(clips)]
    listing = pa.Table.from_pylist(rows, schema=CLIP_SCHEMA)
    planned = plan.build_plan(listing, shard_clips)
    plan.write_plan(RunFolder.from_config(config), listing, planned)
    assert write_run_record(
        RunFolder.from_config(config), catalog_plan.build_run_record(config, planned, MODELS)
    )
    return config


def write_evidence(
    config: RunConfig,
    shard: int,
    spans: Sequence[evidence.WorkSpan] = (),
    scores: Sequence[float] = (0.5,),
    failed: int = 0,
) -> None:
    """Evidence of as many clips as there are scores, and of some that could not be decoded."""
    clips = [
        {
            "clip_id": f"clip{shard}-{index}",
            "tags": [],
            "guidance": [],
            "candidates": [
                {"caption": "a", "method": "beam", "log_prob": -1.0, "clap_score": score},
                {"caption": "b", "method": "sample", "log_prob": -1.0, "clap_score": score - 0.2},
            ],
            "outcome": "ok",
            "error": None,
        }
        for index, score in enumerate(scores)
    ]
    error = {"stage": "decode", "type": "truncated", "message": "ends early"}
    clips += [
        {
            "clip_id": f"clip{shard}-failed{index}",
            "tags": [],
            "guidance": [],
            "candidates": [],
            "outcome": "error",
            "error": error,
        }
        for index in range(failed)
    ]
    evidence.write_evidence_shard(
        RunFolder.from_config(config), shard, pa.Table.from_pylist(clips, EVIDENCE_SCHEMA), spans
    )


def span(
    started_s: float, ended_s: float, pool: str = "fused", worker: str = "w"
) -> list[evidence.WorkSpan]:
    return [evidence.WorkSpan(pool, worker, started_s, ended_s)]
