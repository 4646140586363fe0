"""Arguments and options that several commands share, and loading of the run's configuration."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from curation.config.run import RunConfig

Yaml = Annotated[str, typer.Argument(metavar="RUN.YAML", help="The run's configuration.")]
Run = Annotated[str, typer.Argument(metavar="RUN", help="The run's YAML, or its folder.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")]

EndpointUrl = Annotated[
    str | None,
    typer.Option(
        "--endpoint-url",
        metavar="URL",
        help="S3 endpoint of the run; by default AWS_ENDPOINT_URL, then that of run.json.",
    ),
]
Profile = Annotated[
    str | None,
    typer.Option(
        "--profile",
        metavar="NAME",
        help="AWS profile that reads the run; by default AWS_PROFILE, then that of run.json.",
    ),
]


def load_run_config(yaml: str) -> "RunConfig":
    from curation.run import config_file

    return config_file.read_run_config(yaml)
