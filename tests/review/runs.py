"""Runs whose candidates are drawn at random: ties, untagged clips and failed clips included."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from curation.config.run import RunConfig
from curation.run import evidence
from curation.run.layout import RunFolder
from curation.schema import EVIDENCE_SCHEMA
from curation.select import policy
from curation.select.tag_groups import group_by_rarest_tag
from tests.support.runs import planned_run

SHARD_CLIPS = 100
TAGS = ("/m/a", "/m/b", "/m/c", "/m/d")
# Of a candidate: mean and deviation.
SCORES = {"clap_score": (0.3, 0.2), "log_prob": (-1.0, 0.3), "second_score": (0.5, 0.2)}


@dataclass(frozen=True, eq=False)
class Drawn:
    """A run, and its candidates as `select` reads them."""

    config: RunConfig
    candidates: policy.Candidates


def drawn_run(
    folder: Path, clips: int, seed: int, scores: tuple[str, ...] = tuple(SCORES)
) -> Drawn:
    """A run of up to four candidates a clip; scores are rounded, so that many are equal."""
    chance = np.random.default_rng(seed)
    config = planned_run(folder, clips, SHARD_CLIPS)
    rows = [_row(number, chance, scores) for number in range(clips)]
    for shard in range(clips // SHARD_CLIPS):
        part = rows[shard * SHARD_CLIPS : (shard + 1) * SHARD_CLIPS]
        evidence.write_evidence_shard(
            RunFolder.from_config(config), shard, pa.Table.from_pylist(part, EVIDENCE_SCHEMA)
        )
    flat = [(clip, each) for clip, row in enumerate(rows) for each in row["candidates"]]
    as_read = {
        # Evidence holds them as float32.
        name: np.array([each.get(name, np.nan) for _, each in flat], np.float32).astype(np.float64)
        for name in SCORES
    }
    return Drawn(
        config,
        policy.Candidates(
            clip=np.array([clip for clip, _ in flat]),
            clip_tag=group_by_rarest_tag([[tag["mid"] for tag in row["tags"]] for row in rows]),
            **as_read,
        ),
    )


def _row(
    number: int, chance: np.random.Generator, scores: tuple[str, ...]
) -> dict[str, list[dict[str, object]]]:
    tags = chance.choice(TAGS, size=chance.integers(0, 3), replace=False, p=(0.4, 0.3, 0.2, 0.1))
    candidates = [
        {
            "caption": f"caption {place} of clip {number}",
            "method": "beam",
            **{name: round(float(chance.normal(*SCORES[name])), 1) for name in scores},
        }
        for place in range(chance.integers(0, 5))
    ]
    row: dict[str, object] = {
        "clip_id": f"clip{number:05d}",
        "uri": f"/{number}.wav",
        "tags": [
            {"mid": tag, "name": f"name of {tag}", "confidence": 1.0, "origin": "human"}
            for tag in tags.tolist()
        ],
        "guidance": [],
        "candidates": candidates,
        "outcome": "ok" if candidates else "error",
    }
    if not candidates:
        row["error"] = {"stage": "read", "type": "missing", "message": "no file"}
    return row  # type: ignore[return-value]
