"""Demonstrates the method on one machine: captions, filters and grades a procedural corpus.

Three runs over the same clips differ in the tags that guide the captioner: none, noisy tags as
people give them, and true tags.
"""

import os
from collections.abc import Iterator

from curation import console, table
from curation.config.run import RunConfig
from curation.demo import accuracy
from curation.engine import driver
from curation.run import catalog_plan, layout
from curation.run.config_file import parse_run_config
from curation.run.layout import RunFolder
from curation.select import apply
from curation.storage.files import Storage
from curation.synth.corpus import read_corpus_truth, write_corpus
from curation.synth.scenes import Scene
from curation.uris import join_uri

GUIDANCE = ("none", "noisy", "true")
MAIN_GUIDANCE = "noisy"


def run_demo(out: str, clips: int, seed: int, quiet: bool = False) -> None:
    """Make a corpus, run the engine on it three times, and print the quality of the captions."""
    Storage().delete_tree(out)
    corpus = join_uri(out, "corpus")
    console.stdout.print(f"A corpus of {clips} procedural clips, in AudioSet's layout: {corpus}")
    write_corpus(corpus, clips, seed, workers=os.cpu_count() or 1, progress=not quiet)
    truth = read_corpus_truth(corpus)
    judged = dict(grade_guidance(out, corpus, truth, quiet))
    print_shares(judged)
    print_relations(judged)
    print_selected(out)


def grade_guidance(
    out: str, corpus: str, truth: dict[str, Scene], quiet: bool
) -> Iterator[tuple[str, accuracy.GradedRun]]:
    """Run the engine on a corpus once for each kind of guidance, and grade all captions."""
    for guidance in GUIDANCE:
        config = demo_run_config(out, corpus, guidance)
        catalog_plan.create_plan(config)
        with console.show_progress(f"{guidance} tags", "clips", quiet) as update:
            driver.annotate_run(config, update)
        apply.select_pairs(config)
        yield guidance, accuracy.grade_run(RunFolder.from_config(config), truth)


def demo_run_config(out: str, corpus: str, guidance: str) -> RunConfig:
    """Build the configuration of the run with one kind of guidance.

    The folder `out` is that of the run with noisy tags, which is the most realistic one.
    """
    segments = "segments.csv" if guidance == "true" else "segments_noisy.csv"
    return parse_run_config(
        {
            "run": out if guidance == MAIN_GUIDANCE else join_uri(out, "compare", guidance),
            "catalog": {
                "kind": "audioset",
                "segments": join_uri(corpus, segments),
                "audio": join_uri(corpus, "audio"),
            },
            "captioner": {"guidance": "none" if guidance == "none" else "tags"},
            "annotate": {"shard_clips": 64},
            "select": {"score": "clap", "top_fraction": accuracy.TOP_FRACTION},
        },
        f"demo, {guidance} tags",
    )


def print_shares(graded: dict[str, accuracy.GradedRun]) -> None:
    """Print the share of right captions before and after each filter, one row per guidance."""
    rows = {name: accuracy.accuracy_shares(each) for name, each in graded.items()}
    columns = list(next(iter(rows.values())))
    console.print_table(
        "Captions all right (classes, order, relation), of all clips",
        ["tags", *columns],
        [[name, *(f"{share:.3f}" for share in row.values())] for name, row in rows.items()],
    )


def print_relations(graded: dict[str, accuracy.GradedRun]) -> None:
    """Print the share of right captions by relation, before and after the CLAP filter."""
    before, after = "beam", "half by CLAP"
    rows = []
    for name, each in graded.items():
        by_relation = accuracy.accuracy_by_relation(each)
        rows.append(
            [name, *(f"{row[before]:.3f} -> {row[after]:.3f}" for row in by_relation.values())]
        )
    console.print_table(
        "By relation: beam -> half by CLAP", ["tags", "single", "then", "background"], rows
    )


def print_selected(out: str) -> None:
    """Print a few accepted pairs and the folder of the run with noisy tags."""
    columns = ["clip_id", "caption", "clap_score"]
    pairs = table.read_pairs(Storage(), layout.table_uri(out), columns=columns)
    best = pairs.sort_by([("clap_score", "descending")]).slice(0, 5).to_pylist()
    console.print_table(
        f"Selected: {pairs.num_rows} pairs, the best by score first",
        columns,
        [[pair["clip_id"], pair["caption"], f"{pair['clap_score']:.3f}"] for pair in best],
    )
    console.stdout.print(f"The run with noisy tags: {out}; the others: {out}/compare")
