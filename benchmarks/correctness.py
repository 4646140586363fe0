"""What guidance and the filters are worth: correct captions over three procedural corpora.

Each seed makes its own corpus, runs the engine over it without tags, with noisy tags and with true
ones, and judges every caption against the generator's truth. Means and spreads over the seeds.

    python -m benchmarks.correctness [--clips 600] [--seeds 11 12 13]
"""

import argparse
import json
import os
import tempfile

import numpy as np

from curation import console
from curation.config.policy import Policy
from curation.demo import accuracy, demo
from curation.synth.corpus import read_corpus_truth, write_corpus

Runs = dict[str, list[accuracy.GradedRun]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=600)
    parser.add_argument("--seeds", type=int, nargs="+", default=[11, 12, 13])
    options = parser.parse_args()
    runs: Runs = {guidance: [] for guidance in demo.GUIDANCE}
    for seed in options.seeds:
        with tempfile.TemporaryDirectory() as folder:
            corpus = f"{folder}/corpus"
            write_corpus(corpus, options.clips, seed, workers=os.cpu_count() or 1, progress=True)
            truth = read_corpus_truth(corpus)
            for guidance, judged in demo.grade_guidance(f"{folder}/run", corpus, truth, False):
                runs[guidance].append(judged)
    report(runs, options)


def report(runs: Runs, options: argparse.Namespace) -> None:
    shares = {g: [accuracy.accuracy_shares(each) for each in judged] for g, judged in runs.items()}
    columns = list(shares["none"][0])
    console.print_table(
        f"Captions all right, of {options.clips} clips, {len(options.seeds)} seeds: mean ± spread",
        ["tags", *columns],
        [
            [g, *(mean_and_spread([s[c] for s in each]) for c in columns)]
            for g, each in shares.items()
        ],
    )
    relations = {
        g: [accuracy.accuracy_by_relation(each) for each in judged] for g, judged in runs.items()
    }
    for column in columns:
        names = ("single", "then", "background")
        console.print_table(
            f"By relation: {column}",
            ["tags", *names],
            [
                [g, *(mean_and_spread([s[n][column] for s in e]) for n in names)]
                for g, e in relations.items()
            ],
        )
    aucs = {g: [auc(each) for each in judged] for g, judged in runs.items()}
    scores = list(aucs["none"][0])
    console.print_table(
        "AUC of telling right beam captions from wrong ones",
        ["tags", *scores],
        [[g, *(mean_and_spread([s[c] for s in each]) for c in scores)] for g, each in aucs.items()],
    )
    print(
        json.dumps(
            {
                "seeds": options.seeds,
                "clips": options.clips,
                "right": {g: means(each) for g, each in shares.items()},
                "auc": {g: means(each) for g, each in aucs.items()},
            }
        )
    )


def auc(judged: accuracy.GradedRun) -> dict[str, float]:
    """AUC of each score that a policy can rank by."""
    policies = [Policy(score="clap"), Policy(score="log_prob"), Policy(score="combined")]
    return {
        policy.score: accuracy.filter_auc(judged, judged.candidates.score(policy.score))
        for policy in policies
    }


def mean_and_spread(values: list[float]) -> str:
    return f"{np.mean(values):.3f} ± {np.std(values):.3f}"


def means(seeds: list[dict[str, float]]) -> dict[str, float]:
    return {name: round(float(np.mean([seed[name] for seed in seeds])), 4) for name in seeds[0]}


if __name__ == "__main__":
    main()
