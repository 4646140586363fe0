"""The commands `tagscribe status` and `tagscribe verify`: what a run's folder says of itself."""

from typing import Annotated

import typer

from curation import console
from curation.cli.arguments import Quiet, Yaml, load_run_config


def status_command(
    of: Annotated[str, typer.Argument(metavar="RUN", help="The run's YAML, or its folder.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for machines.")] = False,
) -> None:
    """Say where a run stands, how fast it is, what it costs and why it stopped, from its folder."""
    import json

    from curation.ops.status import read_status, run_of

    state = read_status(*run_of(of))
    if as_json:
        print(json.dumps(state.as_json()))
    else:
        console.print_fields(state.fields())


def verify_command(yaml: Yaml, quiet: Quiet = False) -> None:
    """Check plan, evidence and table against each other; exits with 1 when a promise is broken."""
    from curation.ops.verify import verify_run

    with console.show_progress("verify", "shards", quiet) as on_shard:
        findings = verify_run(load_run_config(yaml).run, on_shard)
    for finding in findings:
        console.stdout.print(finding)
    if findings:
        raise typer.Exit(1)
    console.stdout.print("plan, evidence and table agree")
