"""The commands `tagscribe plan`, `annotate`, `select` and `run`: the steps of a run."""

from typing import TYPE_CHECKING, Annotated

import typer

from curation import console
from curation.cli.arguments import EndpointUrl, Profile, Quiet, Run, Yaml, load_run_config
from curation.cli.interruption import describe_when_stopped

if TYPE_CHECKING:
    from curation.config.run import RunConfig

Partial = Annotated[
    bool, typer.Option("--partial", help="Select from evidence that does not cover the plan yet.")
]


def plan_command(
    yaml: Yaml,
    sample: Annotated[
        int, typer.Option(min=0, help="Number of clips measured for the estimate; 0: no estimate.")
    ] = 200,
    quiet: Quiet = False,
) -> None:
    """List the catalog, cut it into shards, write plan/ and run.json, and estimate the run.

    If the folder already has a plan, the catalog is listed again and compared with the plan. The
    estimate runs a random sample of the clips through the whole engine, on the hardware of each
    pool in the YAML. It prints the yield, time and cost of the run, and suggests sizes for the
    pools.
    """
    config = load_run_config(yaml)
    with describe_when_stopped(config):
        _plan(config)
        if sample:
            _estimate(config, sample, quiet)


def annotate_command(yaml: Yaml, quiet: Quiet = False) -> None:
    """Caption and score every planned clip that has no evidence.

    If annotation is stopped, the same command resumes it.
    """
    config = load_run_config(yaml)
    with describe_when_stopped(config):
        _annotate(config, quiet)


def select_command(
    run: Run,
    partial: Partial = False,
    endpoint_url: EndpointUrl = None,
    profile: Profile = None,
    quiet: Quiet = False,
) -> None:
    """Apply the rules of selection to the evidence, and write a version of the table.

    The rules are the section select: of the YAML. If RUN is a folder, they are read from its
    run.json.
    """
    from curation.run.resolve import resolve_run

    config = resolve_run(run, endpoint_url, profile).config
    with describe_when_stopped(config):
        _select(config, partial, quiet)


def run_command(yaml: Yaml, quiet: Quiet = False) -> None:
    """Plan, annotate and select. If the run is stopped, the same command resumes it."""
    from curation.engine.executors import require_executor
    from curation.run.layout import RunFolder
    from curation.run.record import read_run_record

    config = load_run_config(yaml)
    require_executor(config)
    with describe_when_stopped(config):
        if read_run_record(RunFolder.from_config(config)) is None:
            _plan(config)
        _annotate(config, quiet)
        _select(config, partial=False, quiet=quiet)


def _plan(config: "RunConfig") -> None:
    from curation.run import catalog_plan

    planned, coverage = catalog_plan.create_plan(config)
    console.stdout.print(coverage)
    console.stdout.print(
        f"{planned.shards} shards of up to {planned.shard_clips} clips in {config.run}"
    )


def _estimate(config: "RunConfig", clips: int, quiet: bool) -> None:
    from curation.estimate import estimate as estimating
    from curation.estimate import sample
    from curation.run import plan
    from curation.run.layout import RunFolder
    from curation.run.record import require_run_record

    with console.show_activity(f"measuring {clips} clips", quiet):
        measured = sample.measure_run(config, clips)
    planned = plan.plan_from_record(require_run_record(RunFolder.from_config(config)))
    result = estimating.estimate_run(config, planned, measured)
    console.print_table(
        f"Estimate from {measured.clips} clips measured on {measured.hardware}",
        ["", "expected", "95 % of samples"],
        result.to_rows(),
    )
    for sentence in result.advice:
        console.stdout.print(sentence)


def _annotate(config: "RunConfig", quiet: bool) -> None:
    from curation.engine import driver

    def announce(preparation: str) -> None:
        if not quiet:
            console.stderr.print(f"annotate: {preparation}")

    with console.show_progress("annotate", "clips", quiet) as update:
        counts = driver.annotate_run(config, update, on_start=announce)
    outcomes = [f"{counts.ok} ok", *(f"{clips} {kind}" for kind, clips in counts.failures.items())]
    if counts.missing:
        outcomes.append(f"{counts.missing} without audio")
    console.stdout.print(f"{counts.clips} clips: {', '.join(outcomes)}")


def _select(config: "RunConfig", partial: bool, quiet: bool) -> None:
    from curation.select import apply

    with console.show_progress("select", "pairs", quiet) as on_pairs:
        chosen = apply.select_pairs(config, partial, on_pairs)
    if chosen.shards_done < chosen.shards:
        console.stdout.print(f"from {chosen.shards_done} of {chosen.shards} shards only")
    reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(chosen.reasons.items()))
    console.stdout.print(
        f"{chosen.candidates} candidates of {chosen.clips} clips: {reasons or 'none'}; "
        f"table version {chosen.version.version} holds {chosen.version.rows} pairs"
    )
