"""Real recordings through the engine: ESC-10's ten classes, by models trained on none of them.

Runs the engine over ../shared/data/esc10, guided and unguided, and reports folds 2 and 3 (fold 1
was used while the procedural sounds were developed): zero-shot accuracy of the reference CLAP, from
the audio embeddings in the evidence, and how many clips' best caption names the class.

    python -m benchmarks.esc10 [--data ../shared/data/esc10]
"""

import argparse
import csv
import json
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from curation import console
from curation.cluster.session import ray_session
from curation.config.models import DualEncoderScorerConfig
from curation.config.run import RunConfig
from curation.demo.grading import parse_caption
from curation.engine import driver
from curation.models.scorers.build import build_scorer
from curation.run import catalog_plan
from curation.run import evidence as run_evidence
from curation.run.config_file import parse_run_config
from curation.run.layout import RunFolder
from curation.schema import OK
from curation.synth.classes import SOUND_CLASSES

FOLDS = (2, 3)
BY_MID = {sound.mid: sound for sound in SOUND_CLASSES}


@dataclass(frozen=True)
class Recording:
    """A recording of the list: its class by name and by AudioSet id, and its fold."""

    name: str
    mid: str
    fold: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data/esc10"))
    options = parser.parse_args()
    if not (options.data / "clips.csv").is_file():
        sys.exit(f"{options.data}: no clips.csv; give the folder of ESC-10 by --data")
    with (options.data / "clips.csv").open(newline="") as lines:
        recordings = {
            Path(row["file"]).stem: Recording(
                row["esc10_class"], row["audioset_mids"], int(row["fold"])
            )
            for row in csv.DictReader(lines)
        }
    with tempfile.TemporaryDirectory() as folder, ray_session("ray", 1):
        runs = {
            guidance: evidence(config_of(folder, options.data, guidance))
            for guidance in ("none", "tags")
        }
    report(runs, recordings)


def config_of(folder: str, data: Path, guidance: str) -> RunConfig:
    return parse_run_config(
        {
            "run": f"{folder}/{guidance}",
            "catalog": {
                "kind": "folder",
                "audio": str(data / "audio"),
                "metadata": str(data / "clips.csv"),
                "tags": "audioset_mids",
            },
            "captioner": {"guidance": guidance},
            "annotate": {"shard_clips": 32},
        },
        f"ESC-10, guidance {guidance}",
    )


def evidence(config: RunConfig) -> list[dict]:
    """Plan and annotate; every row of the evidence."""
    planned, coverage = catalog_plan.create_plan(config)
    console.stdout.print(coverage)
    with console.show_progress(f"guidance {config.captioner.guidance}", "clips") as update:
        driver.annotate_run(config, update)
    rows = pa.concat_tables(
        run_evidence.read_evidence_shards(
            RunFolder.from_config(config), list(range(planned.shards))
        )
    ).to_pylist()
    ended = Counter(row["outcome"] for row in rows)
    console.stdout.print(f"{len(rows)} clips accounted for: {dict(ended)}")
    return rows


def zero_shot(rows: list[dict], recordings: dict[str, Recording]) -> dict[str, str]:
    """The class that the CLAP predicts for each clip, by the mean of each class's prompts."""
    scorer = build_scorer(DualEncoderScorerConfig())
    scorer.setup()
    mids = {each.name: each.mid for each in recordings.values()}
    names = sorted(mids)
    prompts = [[clause.nominal() for clause in BY_MID[mids[name]].clauses] for name in names]
    text = np.stack([scorer.embed_text(each).mean(axis=0) for each in prompts])
    return {
        row["clip_id"]: names[int(np.argmax(text @ np.array(row["audio_embedding"], np.float32)))]
        for row in rows
        if row["outcome"] == OK
    }


def names_class(row: dict, mid: str) -> bool:
    """Whether the best caption by CLAP score names the class."""
    best = max(row["candidates"], key=lambda candidate: candidate["clap_score"], default=None)
    return best is not None and BY_MID[mid].key in parse_caption(best["caption"]).classes


def report(runs: dict[str, list[dict]], recordings: dict[str, Recording]) -> None:
    predicted = zero_shot(runs["none"], recordings)
    class_named = {
        guidance: {row["clip_id"]: names_class(row, recordings[row["clip_id"]].mid) for row in rows}
        for guidance, rows in runs.items()
    }
    reported = {clip: each for clip, each in recordings.items() if each.fold in FOLDS}
    rows = []
    for name in [*sorted({each.name for each in reported.values()}), "all"]:
        clips = [clip for clip, each in reported.items() if name in (each.name, "all")]
        right = sum(predicted.get(clip) == recordings[clip].name for clip in clips)
        named = {
            guidance: sum(each[clip] for clip in clips) for guidance, each in class_named.items()
        }
        rows.append([name, len(clips), right / len(clips), named["none"], named["tags"]])
    console.print_table(
        f"ESC-10, folds {FOLDS}: zero-shot accuracy, and clips whose best caption names the class",
        ["class", "clips", "zero-shot", "named, unguided", "named, guided"],
        [[name, clips, f"{share:.3f}", *rest] for name, clips, share, *rest in rows],
    )
    _, clips, accuracy, unguided, guided = rows[-1]
    print(
        json.dumps(
            {
                "zero_shot": round(accuracy, 4),
                "chance": 0.1,
                "named_unguided": unguided,
                "named_guided": guided,
                "clips": clips,
                "folds": list(FOLDS),
                "accounted_for": {guidance: len(rows) for guidance, rows in runs.items()},
            }
        )
    )


if __name__ == "__main__":
    main()
