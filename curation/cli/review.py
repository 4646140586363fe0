"""The command `tagscribe review`: serves the review page of a run, or exports its marks."""

import getpass
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from curation import console
from curation.cli.arguments import EndpointUrl, Profile, Quiet, Run

if TYPE_CHECKING:
    from curation.run.layout import RunFolder

TOKEN_BYTES = 32


def review_command(
    run: Run,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0: any free port.")
    ] = 0,
    marker: Annotated[
        str | None, typer.Option(help="Name stored with the marks; default: your user name.")
    ] = None,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Print the address without opening a browser.")
    ] = False,
    export: Annotated[
        Path | None,
        typer.Option(metavar="LABELS.CSV", help="Write the marked captions to this CSV, and exit."),
    ] = None,
    endpoint_url: EndpointUrl = None,
    profile: Profile = None,
    quiet: Quiet = False,
) -> None:
    """Listen to a run's captions in the browser, choose a threshold, and mark captions.

    The page is served on this machine only, at the printed address. Ctrl-C stops the server. Each
    mark is saved at once in RUN/marks. The first start builds an index of the evidence in your
    cache folder, which takes a minute or two for a million clips.
    """
    from curation.run.resolve import resolve_run

    folder = resolve_run(run, endpoint_url, profile).folder
    if export:
        from curation.review import marks

        count = marks.export_marks(folder, str(export))
        console.stdout.print(f"{count} marked captions in {export}")
    else:
        _serve(folder, port, marker or getpass.getuser(), not no_browser, quiet)


def _serve(run: "RunFolder", port: int, marker: str, browser: bool, quiet: bool) -> None:
    import asyncio
    import webbrowser

    from curation.review import index_builder, server
    from curation.review.labels import Labels
    from curation.review.service import ReviewService
    from curation.text_safety import escape_invisible

    with console.show_progress("index", "shards", quiet) as on_shard:
        index = index_builder.open_index(run, on_shard)
    answers = ReviewService(run, index, Labels(run, index, marker))
    token = secrets.token_urlsafe(TOKEN_BYTES)
    about = {"policy": _policy(run), "marker": escape_invisible(marker)}

    def on_ready(bound: int) -> None:
        # After the hash it is not sent in requests, so no log contains it.
        address = f"http://{server.LOOPBACK}:{bound}/#{token}"
        console.stdout.print(address)
        console.stderr.print("Ctrl-C ends it; marks are kept as they are made")
        if browser:
            webbrowser.open(address)

    try:
        asyncio.run(
            server.serve_application(
                server.create_application(answers, about, token), port, on_ready
            )
        )
    except KeyboardInterrupt:
        console.stderr.print(f"{len(answers.labels)} captions of this run are marked")


def _policy(run: "RunFolder") -> dict[str, Any]:
    """The policy with which the page begins: the table's newest, else that of the run's record."""
    from curation import table
    from curation.run import layout
    from curation.run.record import require_run_record

    newest = table.read_newest_version(run.storage, layout.table_uri(run.uri))
    policy = newest.lineage.get("policy") if newest else None
    return policy or require_run_record(run).config["select"]
