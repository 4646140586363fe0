"""The commands `tagscribe status` and `tagscribe verify`, which only read the folder of a run."""

from typing import Annotated

import typer

from curation import console
from curation.cli.arguments import EndpointUrl, Profile, Quiet, Run


def status_command(
    run: Run,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    endpoint_url: EndpointUrl = None,
    profile: Profile = None,
) -> None:
    """Print a run's progress, speed and cost, and why it stopped, from the run's folder."""
    import json

    from curation.ops.status import read_status
    from curation.run.resolve import resolve_run

    found = resolve_run(run, endpoint_url, profile)
    state = read_status(found.folder, found.config)
    if as_json:
        print(json.dumps(state.to_dict()))
    else:
        console.print_fields(state.to_fields())


def verify_command(
    run: Run,
    endpoint_url: EndpointUrl = None,
    profile: Profile = None,
    quiet: Quiet = False,
) -> None:
    """Check plan, evidence and table against each other. Exits with 1 if anything is wrong."""
    from curation.ops.verify import verify_run
    from curation.run.resolve import resolve_run

    folder = resolve_run(run, endpoint_url, profile).folder
    with console.show_progress("verify", "shards", quiet) as on_shard:
        findings = verify_run(folder, on_shard)
    for finding in findings:
        console.stdout.print(finding)
    if findings:
        raise typer.Exit(1)
    console.stdout.print("plan, evidence and table agree")
