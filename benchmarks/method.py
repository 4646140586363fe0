"""Does curation pay? The same small model, pre-trained on pairs of five kinds.

From one procedural corpus a seed, with tags as people give them (15 % missing, a wrong one on every
third clip), five tables: (template) tag names in a template; (unguided) captions written from audio
alone; (guided) captions written with the tags; (guided_filtered) the best of four by CLAP, of which
the better part by CLAP is kept; (true) true captions. Each trains the same model for the same
number of steps; it is judged on held-out procedural clips and on ESC-10's folds 2 and 3.

    python -m benchmarks.method [--clips 1500] [--seeds 3] [--out runs/method]

Prints a table of means and standard deviations over the seeds, and ends in one line of JSON.
"""

import argparse
import json
import multiprocessing
import os
import time
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from curation import console, table
from curation.cluster.session import ray_session
from curation.config.run import RunConfig
from curation.engine import driver
from curation.models.scorers.dual_encoder import DualEncoderScorer
from curation.run import catalog_plan
from curation.run.config_file import parse_run_config
from curation.run.layout import table_uri
from curation.schema import PAIR_SCHEMA
from curation.select import apply
from curation.storage.files import Storage
from curation.synth.corpus import read_corpus_truth, write_corpus
from training import run_folder
from training.demo import small_pretrain_config
from training.evaluate import procedural
from training.evaluate.evaluation import evaluate_on_dataset
from training.pretrain import pretrain
from training.validation_runner import SubprocessValidationRunner

FIRST_SEED = 31
ARMS = ("template", "unguided", "guided", "guided_filtered", "true")
TOP_FRACTION = 0.7
HELD_OUT_CLIPS = 600
RATE_HZ = 16_000
BATCH = 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=1500, help="clips of each corpus")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED)
    parser.add_argument("--epochs", type=int, default=14, help="of the tables of all clips")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--out", default="runs/method")
    parser.add_argument("--esc10", default="../shared/data/esc10")
    options = parser.parse_args()
    begun = time.monotonic()
    Storage().delete_tree(options.out)
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    with ray_session("ray", 1):
        tables = {seed: make_tables(f"{options.out}/{seed}", options.clips, seed) for seed in seeds}
    steps = options.epochs * (options.clips // BATCH)
    jobs = [
        (f"{options.out}/{seed}/{arm}", tables[seed][arm], seed, steps, options.esc10)
        for seed in seeds
        for arm in options.arms
    ]
    # Two at a time, each on one core: small models gain nothing from a second one.
    with multiprocessing.get_context("spawn").Pool(min(2, os.cpu_count() or 1)) as pool:
        figures = []
        with console.show_progress("pre-training", "models") as update:
            for done, result in enumerate(pool.imap(train_and_measure, jobs)):
                figures.append(result)
                update(done + 1, len(jobs))
    by_arm = {
        arm: [f for f, job in zip(figures, jobs, strict=True) if job[0].endswith(f"/{arm}")]
        for arm in options.arms
    }
    report(by_arm, options, time.monotonic() - begun)


def make_tables(folder: str, clips: int, seed: int) -> dict[str, str]:
    """Caption one corpus through the engine; the table of each arm."""
    corpus = f"{folder}/corpus"
    console.stdout.print(f"corpus {seed}: {clips} clips, captioned three times")
    write_corpus(corpus, clips, seed, workers=os.cpu_count() or 1)
    unguided = captioned(f"{folder}/run_unguided", corpus, "none", 1)
    guided = captioned(f"{folder}/run_guided", corpus, "tags", 1)
    filtered = captioned(f"{folder}/run_filtered", corpus, "tags", 4, top_fraction=TOP_FRACTION)
    truth = read_corpus_truth(corpus)
    rows = table.read_pairs(Storage(), table_uri(guided.run)).to_pylist()
    return {
        "unguided": table_uri(unguided.run),
        "guided": table_uri(guided.run),
        "guided_filtered": table_uri(filtered.run),
        "template": commit_table(
            f"{folder}/table_template",
            # A clip without any tag has no caption of this kind.
            (
                {**r, "caption": procedural.template_caption(r["guidance"])}
                for r in rows
                if r["guidance"]
            ),
        ),
        "true": commit_table(
            f"{folder}/table_true",
            ({**row, "caption": truth[row["clip_id"][:11]].captions[0]} for row in rows),
        ),
    }


def captioned(run: str, corpus: str, guidance: str, candidates: int, **policy: Any) -> RunConfig:
    config = parse_run_config(
        {
            "run": run,
            "catalog": {
                "kind": "audioset",
                "segments": f"{corpus}/segments_noisy.csv",
                "audio": f"{corpus}/audio",
            },
            "captioner": {"guidance": guidance, "candidates": candidates},
            "annotate": {"shard_clips": 64},
            "select": policy,
        },
        "benchmarks/method.py",
    )
    catalog_plan.create_plan(config)
    driver.annotate_run(config, lambda done, total: None)
    apply.select_pairs(config)
    return config


def commit_table(uri: str, rows: Iterator[dict[str, Any]]) -> str:
    pairs = pa.Table.from_pylist(list(rows), PAIR_SCHEMA)
    table.commit_table(
        Storage(), uri, PAIR_SCHEMA, pairs.to_batches, {"made": "benchmarks/method.py"}
    )
    return uri


def train_and_measure(job: tuple[str, str, int, int, str]) -> dict[str, float]:
    """Pre-train on one table for so many steps, and judge the model."""
    torch.set_num_threads(1)
    run, table_of_arm, seed, steps, esc10 = job
    clips = len(
        set(table.read_pairs(Storage(), table_of_arm, columns=["clip_id"])["clip_id"].to_pylist())
    )
    config = small_pretrain_config(run, [table_of_arm], round(steps / (clips // BATCH)), seed)
    begun = time.monotonic()
    last = pretrain(config, SubprocessValidationRunner(config), lambda done, total: None)
    trained_s = time.monotonic() - begun
    scorer = DualEncoderScorer(run_folder.model_uri(run))
    scorer.setup()
    figures = procedural.evaluate_on_held_out_clips(scorer, held_out_clips())
    if Storage().exists(esc10):
        prompts = procedural.esc10_prompts(Storage(), esc10)
        # Fold 1 was looked at while the procedural sounds were made; both others have 80 clips.
        folds = [
            evaluate_on_dataset(Storage(), scorer, "esc10", esc10, f, prompts=prompts, quiet=True)
            for f in "23"
        ]
        figures["esc10"] = float(np.mean([f["figures"]["custom"]["accuracy"] for f in folds]))
    return {**figures, "pairs": clips, "loss": last["loss"], "seconds": trained_s}


@cache
def held_out_clips() -> procedural.HeldOutClips:
    """Rendered once in each process."""
    return procedural.render_held_out_clips(HELD_OUT_CLIPS, RATE_HZ)


def report(by_arm: dict[str, list[dict[str, float]]], options: Any, elapsed_s: float) -> None:
    summary: dict[str, Any] = {}
    rows = []
    shown = [key for key in next(iter(by_arm.values()))[0] if key not in ("loss", "seconds", "r@1")]
    for arm, figures in by_arm.items():
        values = {key: np.array([each[key] for each in figures]) for key in figures[0]}
        rows.append([arm, *(_spread(values[key], key == "pairs") for key in shown)])
        summary |= {arm: values["score"].mean(), f"{arm}_spread": values["score"].std()}
        if "esc10" in values:
            summary[f"esc10_{arm}"] = values["esc10"].mean()
            summary[f"esc10_{arm}_spread"] = values["esc10"].std()
        summary[f"{arm}_figures"] = {key: value.tolist() for key, value in values.items()}
    console.print_table(
        f"{options.seeds} seeds from {options.first_seed}, {options.clips} clips each; mean±spread",
        ["pairs from", *shown],
        rows,
    )
    print(json.dumps({**summary, "clips": options.clips, "seconds": elapsed_s}))


def _spread(values: np.ndarray, counts: bool) -> str:
    """The mean and the standard deviation over the seeds."""
    return f"{values.mean():.0f}" if counts else f"{values.mean():.3f}±{values.std():.3f}"


if __name__ == "__main__":
    main()
