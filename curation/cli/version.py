"""The option `--version`, which precedes the subcommands."""

from typing import Annotated

import typer

from curation import __version__


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tagscribe {__version__}")
        raise typer.Exit


def accept_version_option(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Add `--version` to an application: `app.callback()(accept_version_option)`."""
