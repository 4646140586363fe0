"""The command `tagscribe report`."""

from typing import Annotated

import typer

from curation import console


def report_command(
    of: Annotated[str, typer.Argument(metavar="RUN", help="The run's YAML, or its folder.")],
    out: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Where the page goes, s3:// too; RUN/report.html."),
    ] = None,
    sample: Annotated[int, typer.Option(min=0, help="Clips to hear on the page.")] = 60,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")] = False,
) -> None:
    """Write a run's report: one HTML file that opens anywhere, sounds included.

    It shows what was left over at each step, the scores matched against shuffled, the yield by tag,
    errors, speed, cost, the configuration, and a sample of clips to hear with all their candidates.
    The run's folder is all that is asked, so that the cluster may be gone. The page stays under 15
    MB; where the sample does not fit, it is cut.
    """
    from curation.ops import status
    from curation.report import page
    from curation.uris import join_uri

    uri, _ = status.run_of(of)
    with console.show_progress("report", "shards", quiet) as on_shard:
        made = page.build_report(uri, sample, on_shard)
    target = out or join_uri(uri, "report.html")
    page.write_report(target, made)
    console.stdout.print(
        f"{target}: {len(made.html.encode()) / 1e6:.1f} MB, {made.audible} clips to hear, "
        f"{made.shown} of {made.drawn} shown"
    )
