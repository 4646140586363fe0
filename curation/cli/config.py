"""The command `tagscribe config`."""

from typing import Annotated

import typer

from curation import console


def config_command(
    show: Annotated[bool, typer.Option("--show", help="Print every key, explained.")] = False,
    check: Annotated[str | None, typer.Option(metavar="RUN.YAML", help="Check a file.")] = None,
) -> None:
    """Print every key of run.yaml with its description, or check a file."""
    from curation.run import config_file, config_reference

    if check:
        config_file.read_run_config(check)
        console.stdout.print(f"{check}: valid")
    if show or not check:
        print(config_reference.format_config_reference(), end="")
