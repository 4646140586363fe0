"""Arguments and options that several commands have, and the configuration that they load."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from curation.config.run import RunConfig

Yaml = Annotated[str, typer.Argument(metavar="RUN.YAML", help="The run's configuration.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")]


def load_run_config(yaml: str) -> "RunConfig":
    from curation.run import config_file

    return config_file.open_run_config(yaml)
