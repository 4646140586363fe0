"""Real recordings among the pairs: folds 1 and 2 of ESC-10 curated, fold 3 told by prompts.

The same small model is pre-trained on procedural pairs alone and on procedural and real pairs
together, for the same number of steps; all pairs are guided and filtered captions of the engine.
The reference models, which wrote and scored them, have heard no recording.

    python -m benchmarks.real_pairs [--clips 1500] [--seeds 3] [--out runs/real_pairs]

Prints a table of means and standard deviations over the seeds, and ends in one line of JSON.
"""

import argparse
import csv
import json
import multiprocessing
import os
import sys
from pathlib import Path

if not __package__:
    # Run as a script: this folder's training.py would hide the package of that name.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
import torch

from benchmarks.method import BATCH, FIRST_SEED, captioned
from curation import annotate, console, planning, storage, table
from curation.cluster import cluster
from curation.config import parse
from curation.run import table_uri
from curation.scorers.clap import DualEncoderScorer
from curation.select import apply
from curation.synth import write_corpus
from training import held_out, record
from training.demo import small
from training.evaluate import evaluate
from training.launch import LocalHost
from training.pretrain import pretrain

CURATED_FOLDS = ("1", "2")
TESTED_FOLD = "3"
WAYS = ("procedural", "procedural and real")
KEEP_TOP = 0.7


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=1500, help="procedural clips of each seed")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=14, help="of the procedural clips")
    parser.add_argument("--out", default="runs/real_pairs")
    parser.add_argument("--esc10", default="../shared/data/esc10")
    options = parser.parse_args()
    if not Path(options.esc10, "clips.csv").is_file():
        sys.exit(f"{options.esc10}: no clips.csv; give the folder of ESC-10 by --esc10")
    storage.delete_tree(options.out)
    seeds = range(FIRST_SEED, FIRST_SEED + options.seeds)
    procedural = {}
    with cluster("local", 1):
        real = real_table(options.out, options.esc10)
        for seed in seeds:
            corpus = f"{options.out}/{seed}/corpus"
            write_corpus(corpus, options.clips, seed, workers=os.cpu_count() or 1)
            run = captioned(f"{options.out}/{seed}/run", corpus, "tags", 4, keep_top=KEEP_TOP)
            procedural[seed] = table_uri(run.run)
    steps = options.epochs * (options.clips // BATCH)
    jobs = [
        (
            f"{options.out}/{seed}/model-{number}",
            [procedural[seed], real][: number + 1],
            seed,
            steps,
            options.esc10,
        )
        for seed in seeds
        for number in range(len(WAYS))
    ]
    with multiprocessing.get_context("spawn").Pool(min(2, os.cpu_count() or 1)) as pool:
        accuracies = pool.map(train_and_measure, jobs, chunksize=1)
    told = {}
    for number, way in enumerate(WAYS):
        of_way = np.array(accuracies[number :: len(WAYS)])
        told[way.replace(" ", "_")] = {
            "mean": of_way.mean(),
            "std": of_way.std(),
            "each": of_way.tolist(),
        }
    pairs = table.read(real, columns=["caption"]).num_rows
    console.print_table(
        f"ESC-10 fold {TESTED_FOLD}, zero-shot accuracy; {pairs} real pairs of folds 1 and 2",
        ["pairs", "accuracy", "by seed"],
        [
            [way, f"{t['mean']:.3f} ± {t['std']:.3f}", " ".join(f"{a:.3f}" for a in t["each"])]
            for way, t in told.items()
        ],
    )
    print(json.dumps(told))


def real_table(out: str, esc10: str) -> str:
    """Two folds, through the engine by their AudioSet tags; filtered as the procedural pairs."""
    metadata = Path(out, "esc10.csv")
    metadata.parent.mkdir(parents=True, exist_ok=True)
    with (
        open(Path(esc10, "clips.csv"), newline="") as lines,
        metadata.open("w", newline="") as kept,
    ):
        writer = csv.writer(kept)
        writer.writerow(["file", "tags"])
        writer.writerows(
            (row["file"], row["audioset_mids"])
            for row in csv.DictReader(lines)
            if row["fold"] in CURATED_FOLDS
        )
    config = parse(
        {
            "run": f"{out}/real",
            "catalog": {"kind": "folder", "audio": f"{esc10}/audio", "metadata": str(metadata)},
            "annotate": {"shard_clips": 32},
            "select": {"keep_top": KEEP_TOP},
        },
        "benchmarks/real_pairs.py",
    )
    planning.make_plan(config)
    annotate.annotate(config, lambda done, total: None)
    apply.select(config)
    return table_uri(config.run)


def train_and_measure(job: tuple[str, list[str], int, int, str]) -> float:
    """Pre-train for so many steps; zero-shot accuracy on the fold that no pair comes from."""
    torch.set_num_threads(1)
    run, tables, seed, steps, esc10 = job
    clips = sum(len(set(table.read(t, columns=["clip_id"])["clip_id"].to_pylist())) for t in tables)
    config = small(run, tables, round(steps / (clips // BATCH)), seed)
    pretrain(config, LocalHost(config), lambda done, total: None)
    scorer = DualEncoderScorer(record.model_uri(run))
    prompts = held_out.esc10_prompts(esc10)
    result = evaluate(scorer, "esc10", esc10, TESTED_FOLD, prompts=prompts, quiet=True)
    accuracy: float = result["figures"]["custom"]["accuracy"]
    return accuracy


if __name__ == "__main__":
    main()
