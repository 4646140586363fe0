"""The commands `tagscribe submit` and `tagscribe jobs`, for runs as jobs on a Ray cluster."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from curation import console
from curation.cli.interruption import INTERRUPTED

if TYPE_CHECKING:
    from curation.cluster.jobs import JobSubmissionClient

app = typer.Typer(help="Follow, stop and list the jobs of a cluster.", no_args_is_help=True)

Address = Annotated[
    str,
    typer.Option(
        metavar="URL",
        envvar="RAY_API_SERVER_ADDRESS",
        help="The cluster's dashboard, such as http://127.0.0.1:8265.",
    ),
]
JobId = Annotated[str, typer.Argument(metavar="JOB", help="The id that submit printed.")]


def submit_command(
    yaml: Annotated[str, typer.Argument(metavar="RUN.YAML", help="The run's configuration.")],
    address: Address,
    detach: Annotated[bool, typer.Option("--detach", help="Do not wait for its end.")] = False,
    env: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A variable that must be set on the cluster, such as AWS_ACCESS_KEY_ID; without "
            "it the job stops at once. Values are not sent. May be repeated.",
        ),
    ] = None,
) -> None:
    """Send a run to a Ray cluster as a job, and print the job's output until it ends.

    The job contains run.yaml and this package. If the same run is already running, the output of
    its job is printed. If that job has ended, the new job continues the run. Ctrl-C does not stop
    the job.
    """
    from curation.cluster import jobs

    client = jobs.connect_to_cluster(address)
    sent = jobs.submit_job(yaml, client, env or [])
    console.stderr.print(
        f"{sent.job_id} {'is running already' if sent.already_running else 'is submitted'}"
    )
    if detach:
        print(sent.job_id)
        console.stderr.print(_describe_follow(sent.job_id, address))
    else:
        _follow(client, sent.job_id, address)


@app.command("follow")
def follow_job_command(job: JobId, address: Address) -> None:
    """Print the output of a job, from the beginning to the end. Exits with the job's exit code."""
    from curation.cluster import jobs

    _follow(jobs.connect_to_cluster(address), job, address)


@app.command("stop")
def stop_job_command(job: JobId, address: Address) -> None:
    """Stop a job. The written evidence stays, and the run continues if it is submitted again."""
    from curation.cluster import jobs

    stopped = jobs.stop_job(jobs.connect_to_cluster(address), job)
    console.stdout.print(f"{job} {'is stopped' if stopped else 'had ended before'}")


@app.command("list")
def list_jobs_command(address: Address) -> None:
    """List the tagscribe jobs of the cluster, with the oldest first."""
    from curation.cluster import jobs

    for each in jobs.list_jobs(jobs.connect_to_cluster(address)):
        console.stdout.print(f"{each.job_id}  {each.status:<9}  {each.started} UTC  {each.run}")


def _follow(client: "JobSubmissionClient", job: str, address: str) -> None:
    from curation.cluster import jobs

    def write(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    try:
        code = jobs.follow_job(client, job, write)
    except KeyboardInterrupt:
        console.stderr.print(f"detached, the job continues; {_describe_follow(job, address)}")
        raise typer.Exit(INTERRUPTED) from None
    console.stderr.print(f"{job} {'has ended' if code == 0 else f'ended with exit code {code}'}")
    if code:
        raise typer.Exit(code)


def _describe_follow(job: str, address: str) -> str:
    return f"follow it by tagscribe jobs follow {job} --address {address}"
