"""The command `tagscribe review`: serves the review page of a run, or exports what was marked."""

import getpass
import secrets
from pathlib import Path
from typing import Annotated, Any

import typer

from curation import console

TOKEN_BYTES = 32


def review_command(
    of: Annotated[str, typer.Argument(metavar="RUN", help="The run's YAML, or its folder.")],
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0: a free one.")
    ] = 0,
    marker: Annotated[
        str | None, typer.Option(help="Who marks, as marks say it; your user name by default.")
    ] = None,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Print the address only.")
    ] = False,
    export: Annotated[
        Path | None,
        typer.Option(metavar="LABELS.CSV", help="Write the marked captions there, and end."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")] = False,
) -> None:
    """Listen to a run's captions in the browser, choose a threshold, and mark what is right.

    The page is served on this machine alone, to whoever has the address printed; Ctrl-C ends it.
    Marks are kept in RUN/marks as they are made. The first time, an index of the evidence is made
    in your cache folder, a minute or two for a million clips.
    """
    from curation.ops.status import run_of

    run_uri, _ = run_of(of)
    if export:
        from curation.review import marks

        count = marks.export_marks(run_uri, str(export))
        console.stdout.print(f"{count} marked captions in {export}")
    else:
        _serve(run_uri, port, marker or getpass.getuser(), not no_browser, quiet)


def _serve(run_uri: str, port: int, marker: str, browser: bool, quiet: bool) -> None:
    import asyncio
    import webbrowser

    from curation.review import index_builder, server
    from curation.review.labels import Labels
    from curation.review.service import ReviewService
    from curation.text_safety import escape_invisible

    with console.show_progress("index", "shards", quiet) as on_shard:
        index = index_builder.open_index(run_uri, on_shard)
    answers = ReviewService(index, Labels(run_uri, index, marker))
    token = secrets.token_urlsafe(TOKEN_BYTES)
    about = {"policy": _policy(run_uri), "marker": escape_invisible(marker)}

    def on_ready(bound: int) -> None:
        # Behind the hash it is sent to nobody, and stands in no log.
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


def _policy(run_uri: str) -> dict[str, Any]:
    """The policy with which the page begins: the table's newest, else that of the run's record."""
    from curation import table
    from curation.run import layout
    from curation.run.record import require_run_record

    newest = table.read_newest_version(layout.table_uri(run_uri))
    policy = newest.lineage.get("policy") if newest else None
    return policy or require_run_record(run_uri).config["select"]
