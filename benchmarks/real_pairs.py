"""Real recordings among the pairs: folds 1 and 2 of ESC-10 curated, fold 3 named by prompts.

The same small model is pre-trained on procedural pairs alone and on procedural and real pairs
together, for the same number of steps; all pairs are guided and filtered captions of the engine.
The reference models, which wrote and scored them, were not trained on recordings. The procedural
tables, and the models trained on them alone, are those of benchmarks/method.py.

    python -m benchmarks.method
    python -m benchmarks.real_pairs [--method runs/method] [--out runs/real_pairs]

Prints a table of means and standard deviations over the seeds, and ends in one line of JSON.
"""

import argparse
import csv
import json
import multiprocessing
import os
import sys
from pathlib import Path

import numpy as np
import torch

from benchmarks.method import BATCH, TOP_FRACTION
from curation import console, table
from curation.cluster.session import ray_session
from curation.engine import driver
from curation.models.scorers.dual_encoder import DualEncoderScorer
from curation.run import catalog_plan
from curation.run.config_file import parse_run_config
from curation.run.layout import table_uri
from curation.select import apply
from curation.storage.files import Storage
from training import run_folder
from training.data.table_index import TableIndex
from training.demo import small_pretrain_config
from training.evaluate import procedural
from training.evaluate.evaluation import evaluate_on_dataset
from training.pretrain import pretrain
from training.validation_runner import SubprocessValidationRunner

CURATED_FOLDS = ("1", "2")
TESTED_FOLD = "3"
WAYS = ("procedural", "procedural and real")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--method", default="runs/method", help="where method.py left its runs")
    parser.add_argument("--out", default="runs/real_pairs")
    parser.add_argument("--esc10", default="../shared/data/esc10")
    options = parser.parse_args()
    if not Path(options.esc10, "clips.csv").is_file():
        sys.exit(f"{options.esc10}: no clips.csv; give the folder of ESC-10 by --esc10")
    alone = sorted(
        str(model.parent) for model in Path(options.method).glob("*/guided_filtered/model")
    )
    if not alone:
        sys.exit(f"{options.method}: no models of benchmarks/method.py; run it first")
    Storage().delete_tree(options.out)
    with ray_session("ray", 1):
        real = real_table(options.out, options.esc10)
    jobs = [(run, real, f"{options.out}/{Path(run).parent.name}") for run in alone]
    with multiprocessing.get_context("spawn").Pool(min(2, os.cpu_count() or 1)) as pool:
        together = pool.map(train_with_real, jobs, chunksize=1)
    by_way = {}
    for way, runs in zip(WAYS, (alone, together), strict=True):
        each = np.array([accuracy(run, options.esc10) for run in runs])
        by_way[way.replace(" ", "_")] = {
            "mean": each.mean(),
            "std": each.std(),
            "each": each.tolist(),
        }
    pairs = table.read_pairs(Storage(), real, columns=["caption"]).num_rows
    console.print_table(
        f"ESC-10 fold {TESTED_FOLD}, zero-shot accuracy; {pairs} real pairs of folds 1 and 2",
        ["pairs", "accuracy", "by seed"],
        [
            [way, f"{t['mean']:.3f} ± {t['std']:.3f}", " ".join(f"{a:.3f}" for a in t["each"])]
            for way, t in zip(WAYS, by_way.values(), strict=True)
        ],
    )
    print(json.dumps({**by_way, "real_pairs": pairs}))


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
    config = parse_run_config(
        {
            "run": f"{out}/real",
            "catalog": {"kind": "folder", "audio": f"{esc10}/audio", "metadata": str(metadata)},
            "annotate": {"shard_clips": 32},
            "select": {"top_fraction": TOP_FRACTION},
        },
        "benchmarks/real_pairs.py",
    )
    catalog_plan.create_plan(config)
    driver.annotate_run(config, lambda done, total: None)
    apply.select_pairs(config)
    return table_uri(config.run)


def train_with_real(job: tuple[str, str, str]) -> str:
    """Pre-train as the run of procedural pairs was, for as many steps; the new run's folder."""
    torch.set_num_threads(1)
    alone, real, run = job
    record = run_folder.read_training_record(Storage(), alone)
    assert record is not None
    tables = [record["tables"][0]["uri"], real]
    steps = run_folder.read_model_lineage(Storage(), run_folder.model_uri(alone))["step"]
    clips = len(TableIndex.concat([TableIndex.open(Storage(), each) for each in tables]))
    config = small_pretrain_config(
        run, tables, round(steps / (clips // BATCH)), record["config"]["seed"]
    )
    pretrain(config, SubprocessValidationRunner(config), lambda done, total: None)
    return run


def accuracy(run: str, esc10: str) -> float:
    """On the fold that no pair comes from."""
    scorer = DualEncoderScorer(run_folder.model_uri(run))
    prompts = procedural.esc10_prompts(Storage(), esc10)
    result = evaluate_on_dataset(
        Storage(), scorer, "esc10", esc10, TESTED_FOLD, prompts=prompts, quiet=True
    )
    right: float = result["figures"]["custom"]["accuracy"]
    return right


if __name__ == "__main__":
    main()
