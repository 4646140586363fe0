"""The command `tagscribe report`."""

from typing import Annotated

import typer

from curation import console
from curation.cli.arguments import EndpointUrl, Profile, Quiet, Run
from curation.units import format_bytes


def report_command(
    run: Run,
    out: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Path of the page, also s3://; default: RUN/report.html."
        ),
    ] = None,
    sample: Annotated[int, typer.Option(min=0, help="Example clips on the page.")] = 60,
    endpoint_url: EndpointUrl = None,
    profile: Profile = None,
    quiet: Quiet = False,
) -> None:
    """Write a report of a run: one HTML file with sounds, which opens in any browser.

    The report shows how many clips and captions are left after each step, the scores of matched and
    shuffled pairs, the yield by tag, errors, speed, cost and the configuration. It also shows
    example clips with their sound and all candidates. It needs only the run's folder, not the
    cluster. The file stays under 15 MB. Examples that do not fit are omitted.
    """
    from curation.report import page
    from curation.run.resolve import resolve_run
    from curation.uris import join_uri

    folder = resolve_run(run, endpoint_url, profile).folder
    with console.show_progress("report", "shards", quiet) as on_shard:
        made = page.build_report(folder, sample, on_shard)
    target = out or join_uri(folder.uri, "report.html")
    page.write_report(folder.storage, target, made)
    console.stdout.print(
        f"{target}: {format_bytes(len(made.html.encode()))}, {made.audible} clips to hear, "
        f"{made.shown} of {made.sampled} shown"
    )
