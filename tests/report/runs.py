"""Runs of chosen evidence that a report is made of."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import soundfile

from curation.audio.decode import sha256_hex
from curation.config.run import RunConfig
from curation.run import catalog_plan, evidence, plan
from curation.run.config_file import parse_run_config
from curation.run.layout import RunFolder
from curation.run.record import write_run_record
from curation.schema import CLIP_SCHEMA, EVIDENCE_SCHEMA
from tests.support.runs import MODELS

RATE_HZ = 16_000
T0_S = 1_700_000_000.0


def noise(path: Path, seconds: float = 0.5) -> bytes:
    """A WAV of noise, written and as bytes."""
    samples = np.random.default_rng(1).normal(0, 0.1, int(seconds * RATE_HZ))
    soundfile.write(path, samples, RATE_HZ, subtype="PCM_16")
    return path.read_bytes()


def row(clip_id: str, **columns: Any) -> dict[str, Any]:
    """A row of evidence: a clip with two candidates, unless columns say otherwise."""
    return {
        "clip_id": clip_id,
        "uri": f"/nowhere/{clip_id}.wav",
        "start_s": 0.0,
        "end_s": 0.5,
        "duration_s": 0.5,
        "sample_rate_hz": RATE_HZ,
        "peak_dbfs": -3.0,
        "rms_dbfs": -20.0,
        "audio_sha256": "0" * 64,
        "tags": [],
        "guidance": [],
        "candidates": [candidate("a dog barks", 0.5), candidate("a dog howls", 0.3)],
        "outcome": "ok",
        "error": None,
        **columns,
    }


def served(clip_id: str, path: Path, **columns: Any) -> dict[str, Any]:
    """The row of a clip whose sound lies at a path."""
    return row(clip_id, uri=str(path), audio_sha256=sha256_hex(path.read_bytes()), **columns)


def failed(clip_id: str, stage: str, kind: str, message: str = "why") -> dict[str, Any]:
    """The row of a clip that an error stopped."""
    unheard = dict.fromkeys(("end_s", "duration_s", "peak_dbfs", "rms_dbfs", "audio_sha256"))
    error = {"stage": stage, "type": kind, "message": message}
    return row(clip_id, outcome="error", error=error, **{"candidates": [], **unheard})


def candidate(
    caption: str, score: float, second: float | None = None, **columns: Any
) -> dict[str, Any]:
    return {
        "caption": caption,
        "method": "beam",
        "log_prob": -1.0 - score,
        "clap_score": score,
        "second_score": second,
        **columns,
    }


def tag(mid: str, name: str) -> dict[str, Any]:
    return {"mid": mid, "name": name, "confidence": 1.0, "origin": "human"}


def written_run(
    folder: Path | str, shards: list[list[dict[str, Any]]], **sections: object
) -> RunConfig:
    """A run whose evidence is given row by row; its scorer is nowhere."""
    size = max(map(len, shards))
    config = parse_run_config(
        {
            "run": str(folder),
            "catalog": {"kind": "folder", "audio": "/nowhere"},
            "annotate": {"shard_clips": size},
            **sections,
        },
        "test",
    )
    rows = [each for shard in shards for each in shard]
    listing = pa.Table.from_pylist([{n: r[n] for n in CLIP_SCHEMA.names} for r in rows])
    planned = plan.build_plan(listing.cast(CLIP_SCHEMA), size)
    plan.write_plan(RunFolder.from_config(config), listing, planned)
    assert write_run_record(
        RunFolder.from_config(config), catalog_plan.build_run_record(config, planned, MODELS)
    )
    for number, each in enumerate(shards):
        spans = [evidence.WorkSpan("fused", "w", T0_S + 60 * number, T0_S + 60 * number + 50)]
        evidence.write_evidence_shard(
            RunFolder.from_config(config),
            number,
            pa.Table.from_pylist(each, EVIDENCE_SCHEMA),
            spans,
        )
    return config
