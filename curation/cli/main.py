"""The `tagscribe` command: parses, calls, prints; the work is done elsewhere.

Each command imports what it needs, so that help and status do not wait for torch and Ray.
"""

import sys
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from curation import console
from curation.cli import jobs, models, report, review
from curation.cli import publish as publishing
from curation.errors import InputError, RunError

if TYPE_CHECKING:
    from curation.config.run import RunConfig
    from curation.table import Version

app = typer.Typer(
    help="Curate audio-text data: captions written from audio, guided by AudioSet tags, filtered "
    "by CLAP score. Start with `tagscribe demo`, or write a run.yaml (`tagscribe config --show`) "
    "and `tagscribe run run.yaml`.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Yaml = Annotated[str, typer.Argument(metavar="RUN.YAML", help="The run's configuration.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")]
Partial = Annotated[
    bool, typer.Option("--partial", help="Select from evidence that does not cover the plan yet.")
]


def main() -> None:
    """Run the command line; user mistakes end in one line on stderr and exit code 1."""
    try:
        app()
    except (InputError, RunError, PermissionError) as error:
        print(f"tagscribe: {error}", file=sys.stderr)
        sys.exit(1)


@app.command("demo")
def demo_command(
    out: Annotated[Path, typer.Option(help="Folder of the demo; made anew.")] = Path("runs/demo"),
    clips: Annotated[int, typer.Option(min=20, help="Clips of the procedural corpus.")] = 480,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the corpus.")] = 1,
    quiet: Quiet = False,
) -> None:
    """Watch the method work: make a corpus, caption it with and without tags, filter, and judge.

    Sounds are made procedurally, so that what each caption should say is known. The run with noisy
    tags is left in OUT, the other two in OUT/compare.
    """
    from curation.demo.demo import demo

    demo(str(out), clips, seed, quiet)


@app.command("plan")
def plan_command(
    yaml: Yaml,
    sample: Annotated[
        int, typer.Option(min=0, help="Clips measured for the estimate; 0: no estimate.")
    ] = 200,
    quiet: Quiet = False,
) -> None:
    """List the catalog, cut it into shards, write plan/ and run.json, and estimate the run.

    On a folder that is planned already, lists again and says whether the plan still holds. The
    estimate takes a random sample of the clips through the whole engine on the hardware at hand,
    and says what the run will bring, take and cost, and how to size its pools.
    """
    config = load(yaml)
    make_plan(config)
    if sample:
        estimate(config, sample, quiet)


@app.command("annotate")
def annotate_command(yaml: Yaml, quiet: Quiet = False) -> None:
    """Caption and score every planned clip that has no evidence yet; goes on where it stopped."""
    annotate(load(yaml), quiet)


@app.command("select")
def select_command(yaml: Yaml, partial: Partial = False, quiet: Quiet = False) -> None:
    """Apply the policy under select: to the evidence, and commit a version of the table."""
    select(load(yaml), partial, quiet)


@app.command("run")
def run_command(yaml: Yaml, quiet: Quiet = False) -> None:
    """Plan, annotate and select in one go; run again, it goes on where it stopped."""
    from curation.run import layout

    config = load(yaml)
    if layout.read_record(config.run) is None:
        make_plan(config)
    annotate(config, quiet)
    select(config, partial=False, quiet=quiet)


@app.command("status")
def status_command(
    of: Annotated[str, typer.Argument(metavar="RUN", help="The run's YAML, or its folder.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for machines.")] = False,
) -> None:
    """Say where a run stands, how fast it is, what it costs and why it stopped, from its folder."""
    import json

    from curation.ops.status import run_of, status

    state = status(*run_of(of))
    if as_json:
        print(json.dumps(state.as_json()))
    else:
        console.print_fields(state.fields())


@app.command("verify")
def verify_command(yaml: Yaml, quiet: Quiet = False) -> None:
    """Check plan, evidence and table against each other; exits with 1 when a promise is broken."""
    from curation.ops.verify import verify

    with console.progress("verify", "shards", quiet) as on_shard:
        findings = verify(load(yaml).run, on_shard)
    for finding in findings:
        console.out.print(finding)
    if findings:
        raise typer.Exit(1)
    console.out.print("plan, evidence and table agree")


@app.command("show")
def show_command(
    yaml: Yaml,
    clip_id: Annotated[str | None, typer.Argument(help="A clip; all the evidence of it.")] = None,
    version: Annotated[int | None, typer.Option(help="Version of the table.")] = None,
    rows: Annotated[int, typer.Option(min=1, help="Pairs to show.")] = 10,
) -> None:
    """Show a clip's evidence, or, without a clip, the table's versions and its first pairs."""
    uri = load(yaml).run
    if clip_id:
        show_clip(uri, clip_id)
    else:
        show_table(uri, version, rows)


@app.command("config")
def config_command(
    show: Annotated[bool, typer.Option("--show", help="Print every key, explained.")] = False,
    check: Annotated[str | None, typer.Option(metavar="RUN.YAML", help="Check a file.")] = None,
) -> None:
    """Explain the keys of run.yaml, or check one."""
    from curation.run import config_file, config_reference

    if check:
        config_file.read_run_config(check)
        console.out.print(f"{check}: valid")
    if show or not check:
        print(config_reference.format_config_reference(), end="")


app.command("report")(report.report)
app.command("review")(review.review)
app.command("submit")(jobs.submit)
app.add_typer(jobs.app, name="jobs")
app.add_typer(models.app, name="models")
app.command("publish")(publishing.publish)
app.command("rebuild")(publishing.rebuild)


def load(yaml: str) -> "RunConfig":
    from curation.run import config_file

    return config_file.open_run_config(yaml)


def make_plan(config: "RunConfig") -> None:
    from curation.run import planning

    planned, coverage = planning.make_plan(config)
    console.out.print(coverage)
    console.out.print(
        f"{planned.shards} shards of up to {planned.shard_clips} clips in {config.run}"
    )


def estimate(config: "RunConfig", clips: int, quiet: bool) -> None:
    from curation.estimate import estimate as estimating
    from curation.estimate import sample
    from curation.run import layout, plan

    if not quiet:
        console.err.print(f"measuring {clips} clips ...")
    measured = sample.measured(config, clips)
    planned = plan.recorded(layout.need_record(config.run))
    told = estimating.estimate(config, planned, measured)
    console.print_table(
        f"Estimate from {measured.clips} clips measured on {measured.hardware}",
        ["", "expected", "95 % of samples"],
        told.rows(),
    )
    for sentence in told.advice:
        console.out.print(sentence)


def annotate(config: "RunConfig", quiet: bool) -> None:
    from curation.cluster import graph as annotating

    with console.progress("annotate", "clips", quiet) as update:
        counts = annotating.annotate(config, update)
    told = ", ".join(f"{clips} {kind}" for kind, clips in counts.errors.items())
    console.out.print(f"{counts.clips} clips: {counts.ok} ok" + (f", {told}" if told else ""))


def select(config: "RunConfig", partial: bool, quiet: bool) -> None:
    from curation.select import apply

    with console.progress("select", "pairs", quiet) as on_pairs:
        chosen = apply.select(config, partial, on_pairs)
    if chosen.shards_done < chosen.shards:
        console.out.print(f"from {chosen.shards_done} of {chosen.shards} shards only")
    reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(chosen.reasons.items()))
    console.out.print(
        f"{chosen.candidates} candidates of {chosen.clips} clips: {reasons or 'none'}; "
        f"table version {chosen.version.version} holds {chosen.version.rows} pairs"
    )


def show_clip(uri: str, clip_id: str) -> None:
    """Print all evidence of one clip. Raises InputError when the plan does not know it."""
    from curation.run import evidence as run_evidence
    from curation.run import layout, plan
    from curation.storage import files as storage

    for clips in plan.read_clips(uri, ["shard", "clip_id"]):
        where = clips["clip_id"].index(clip_id).as_py()
        if where >= 0:
            shard = clips["shard"][where].as_py()
            break
    else:
        raise InputError(f"{clip_id}: no such clip in the plan of {uri}")
    if not storage.exists(layout.shard_uri(uri, shard)):
        raise InputError(f"{clip_id}: shard {shard} of {uri} has no evidence yet")
    evidence = run_evidence.read_shard(uri, shard)
    row = evidence.slice(evidence["clip_id"].index(clip_id).as_py(), 1).to_pylist()[0]
    embedding = row.pop("audio_embedding")
    candidates = row.pop("candidates")
    row["tags"] = ", ".join(_tags(row["tags"], row.pop("tag_scores")))
    row["guidance"] = ", ".join(row["guidance"])
    row["audio_embedding"] = f"{len(embedding)} numbers" if embedding else None
    console.print_fields(row)
    if candidates:
        told = ("log_prob", "clap_score", "second_score")
        scores = [score for score in told if candidates[0][score] is not None]
        console.print_table(
            "candidates",
            ["caption", "method", *scores],
            [
                [c["caption"], c["method"], *(f"{c[score]:.3f}" for score in scores)]
                for c in candidates
            ],
        )


def _tags(tags: list[dict[str, Any]], scores: list[float] | None) -> Iterator[str]:
    """Tags for people: name, confidence, whether a tagger put it there, and its CLAP score."""
    for tag, score in zip_longest(tags, scores or []):
        told = [f"{tag['confidence']:.2f}"]
        if tag["origin"] == "predicted":
            told.append("predicted")
        if score is not None:
            told.append(f"score {score:.3f}")
        yield f"{tag['name']} ({', '.join(told)})"


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def show_table(uri: str, version: int | None, rows: int) -> None:
    """Print the versions of the curated table, and the first pairs of one."""
    from curation import table
    from curation.run import layout

    table_uri = layout.table_uri(uri)
    console.print_table(
        "versions",
        ["version", "pairs", "policy"],
        [[v.version, v.rows, _policy(v)] for v in table.history(table_uri)],
    )
    columns = ["clip_id", "caption", "clap_score", "log_prob"]
    pairs = table.read(table_uri, version, columns).slice(0, rows).to_pylist()
    console.print_table(
        "pairs",
        columns,
        [
            [p["clip_id"], p["caption"], f"{p['clap_score']:.3f}", _figure(p["log_prob"])]
            for p in pairs
        ],
    )


def _policy(version: "Version") -> str:
    policy = version.lineage.get("policy", {})
    return ", ".join(f"{key} {value}" for key, value in policy.items() if value is not None)


if __name__ == "__main__":
    main()
