"""Submits runs to a Ray cluster as jobs through Ray's Jobs API, and follows, stops and lists them.

A job contains its configuration and this package. The dependencies (torch, Ray, ...) must be
installed on the cluster. Secrets are not sent, because everyone who reaches the dashboard can read
the runtime environment of a job. A job only names the variables that must be set on the cluster.
"""

import asyncio
import hashlib
import json
import logging
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import distribution
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import yaml
from ray.exceptions import AuthenticationError
from ray.job_submission import JobDetails, JobStatus, JobSubmissionClient

from curation.config.run import RunConfig
from curation.errors import InputError, RunError
from curation.run import config_file
from curation.section import find_path_keys
from curation.storage.files import Storage

RUN_KEY = "tagscribe.run"
CONFIG_KEY = "tagscribe.config"
# A tunnel to the dashboard may break and come back; its job goes on meanwhile.
RECONNECT_S = 60.0
STOP_S = 60.0
# The dashboard of a busy head answers 500 when an agent or the control service took too long.
BUSY_S = 30.0
_POLL_S = 1.0
_SERVER_ERROR = re.compile(r"status code 5\d\d")
T = TypeVar("T")


@dataclass(frozen=True)
class Submission:
    """The id of the job of a run, and whether the job was already running."""

    job_id: str
    already_running: bool


@dataclass(frozen=True)
class Job:
    """A job of the cluster as `list_jobs` returns it."""

    job_id: str
    status: str
    run: str
    started: str  # UTC


def connect_to_cluster(address: str) -> JobSubmissionClient:
    """Connect to the Jobs API at the URL of a dashboard. Raises InputError if nothing answers."""
    if not address.startswith(("http://", "https://")):
        raise InputError(
            f"--address {address}: expected the URL of a Ray dashboard, such as "
            "http://127.0.0.1:8265"
        )
    # Ray lets RAY_ADDRESS override the address it is given, and this variable override both.
    os.environ["RAY_API_SERVER_ADDRESS"] = address
    for name in ("ray.dashboard.modules.dashboard_sdk", "ray.dashboard.modules.job.sdk"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with _dashboard_errors(address):
        return JobSubmissionClient(address)


def submit_job(uri: str, client: JobSubmissionClient, variables: list[str]) -> Submission:
    """Submit the run of a YAML file, unless the same run is already on the cluster.

    Args:
        uri: the YAML file of the run.
        client: the Jobs API of the cluster.
        variables: names of environment variables that must be set where Ray was started.

    Raises:
        InputError: the YAML is faulty or names local files, or a run with another configuration
            uses the same folder.
    """
    settings = config_file.read_run_config(uri).model_copy(update={"cluster": "auto"})
    _require_reachable_paths(uri, settings)
    for name in variables:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise InputError(f"--env {name}: expected the name of a variable, without a value")
    content = settings.model_dump(mode="json")
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    with _dashboard_errors(client.get_address()):
        jobs = _request(client.list_jobs)
        earlier = [job for job in jobs if _metadata(job).get(RUN_KEY) == settings.run]
        for job in earlier:
            if not job.status.is_terminal():
                if _metadata(job)[CONFIG_KEY] == digest:
                    return Submission(job.submission_id, already_running=True)
                raise InputError(
                    f"{settings.run}: job {job.submission_id} works on this folder with another "
                    "configuration; stop it (tagscribe jobs stop), or name another folder"
                )
        # Ray knows an ended job's id for ever, and takes it for no other.
        again = f"-{len(earlier) + 1}" if earlier else ""
        name = re.sub(r"[^A-Za-z0-9]+", "-", settings.run.rsplit("/", 1)[-1]).strip("-")[:32]
        job_id = f"tagscribe-{name}-{digest[:10]}{again}"
        with tempfile.TemporaryDirectory() as folder:
            _write_working_dir(Path(folder), content)
            try:
                _request(
                    lambda: client.submit_job(
                        entrypoint=_entrypoint(variables),
                        submission_id=job_id,
                        runtime_env={"working_dir": folder},
                        metadata={RUN_KEY: settings.run, CONFIG_KEY: digest},
                    )
                )
            except RuntimeError as error:
                if "already exists" not in str(error):
                    raise
                return Submission(job_id, already_running=True)
    return Submission(job_id, already_running=False)


def follow_job(client: JobSubmissionClient, job: str, write: Callable[[str], None]) -> int:
    """Write the output of a job, from the beginning, until the job ends. Returns its exit code.

    Raises InputError if there is no such job, and RunError if the connection to the cluster is
    lost.
    """
    _require_job(client, job)
    asyncio.run(_stream(client, job, write))
    with _dashboard_errors(client.get_address()):
        ended = _request(lambda: client.get_job_info(job))
    if ended.status == JobStatus.SUCCEEDED:
        return 0
    if ended.driver_exit_code is None and ended.status == JobStatus.FAILED:
        write(f"{ended.message}\n")
    return ended.driver_exit_code if (ended.driver_exit_code or 0) > 0 else 1


def stop_job(client: JobSubmissionClient, job: str) -> bool:
    """Stop a job and wait for its end. Returns False if the job had already ended.

    Raises InputError if there is no such job, and RunError if the job does not end.
    """
    _require_job(client, job)
    deadline = time.monotonic() + STOP_S
    with _dashboard_errors(client.get_address()):
        if _request(lambda: client.get_job_status(job)).is_terminal():
            return False
        _request(lambda: client.stop_job(job))
        while not _request(lambda: client.get_job_status(job)).is_terminal():
            if time.monotonic() > deadline:
                raise RunError(f"{job}: still running {STOP_S:g} s after it was asked to stop")
            time.sleep(_POLL_S)
    return True


def list_jobs(client: JobSubmissionClient) -> list[Job]:
    """List the tagscribe jobs of the cluster, with the oldest first. Other jobs are omitted."""
    with _dashboard_errors(client.get_address()):
        found = [job for job in _request(client.list_jobs) if RUN_KEY in _metadata(job)]
    return [
        Job(
            job_id=job.submission_id,
            status=job.status.value,
            run=_metadata(job)[RUN_KEY],
            started=f"{datetime.fromtimestamp(job.start_time / 1000, UTC):%Y-%m-%d %H:%M:%S}",
        )
        for job in sorted(found, key=lambda job: job.start_time)
    ]


async def _stream(client: JobSubmissionClient, job: str, write: Callable[[str], None]) -> None:
    shown = 0
    lost_s: float | None = None
    while True:
        read = 0
        try:
            async for text in client.tail_job_logs(job):
                lost_s = None
                # A new connection begins with the log's first line again.
                write(text[max(0, shown - read) :])
                read += len(text)
                shown = max(shown, read)
            if client.get_job_status(job).is_terminal():
                return
        except (RuntimeError, OSError, aiohttp.ClientError) as error:
            lost_s = time.monotonic() if lost_s is None else lost_s
            if time.monotonic() - lost_s > RECONNECT_S:
                raise RunError(
                    f"{client.get_address()}: no answer for {RECONNECT_S:g} s ({error}); what is "
                    "written stays: tagscribe status tells where the run stands"
                ) from error
        await asyncio.sleep(_POLL_S)


def _require_job(client: JobSubmissionClient, job: str) -> None:
    with _dashboard_errors(client.get_address()):
        try:
            _request(lambda: client.get_job_info(job))
        except RuntimeError as error:
            if "404" not in str(error):
                raise
            raise InputError(
                f"{job}: no such job on this cluster; see tagscribe jobs list"
            ) from error


def _require_reachable_paths(uri: str, settings: RunConfig) -> None:
    """Raises InputError for a path that only this machine can resolve."""
    data = yaml.safe_load(Storage().read_bytes(uri))
    for key, path_type in find_path_keys(settings):
        value: Any = data  # as it is written: `settings` has absolute paths
        for part in key.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        # A key may hold values instead of a path.
        if not isinstance(value, str) or "://" in value or value.startswith("/"):
            continue
        if path_type.or_name and not (value.startswith((".", "~")) or Path(value).is_dir()):
            continue
        raise InputError(
            f"{uri}: {key}: {value}: a path relative to this machine, which the cluster does not "
            "have; name a URI such as s3://..., or an absolute path that is there on every node"
        )


def _entrypoint(variables: list[str]) -> str:
    missing = "not set on the head node: set it where Ray is started, on every node"
    needed = "".join(f': "${{{name}:?{missing}}}"; ' for name in variables)
    return f"{needed}python -m curation.cli.main run run.yaml"


def _write_working_dir(folder: Path, content: dict[str, Any]) -> None:
    """The job's working directory: the configuration and this package, as it is here."""
    package = Path(__file__).parents[1]
    unwanted = shutil.ignore_patterns("__pycache__")
    shutil.copytree(package, folder / package.name, ignore=unwanted)
    # A run records the package's version, which an image without tagscribe would not know.
    installed = distribution("tagscribe")
    metadata = folder / f"tagscribe-{installed.version}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(installed.read_text("METADATA") or "")
    (folder / "run.yaml").write_text(yaml.safe_dump(content))


def _metadata(job: JobDetails) -> dict[str, str]:
    return job.metadata or {}


def _request(call: Callable[[], T]) -> T:
    """Call the Jobs API; again for `BUSY_S` while the dashboard is lost, or answers that it failed.

    A job is submitted once all the same, as its id is taken.
    """
    deadline = time.monotonic() + BUSY_S
    while True:
        try:
            return call()
        except (RuntimeError, OSError) as error:
            temporary = isinstance(error, OSError) or _SERVER_ERROR.search(str(error))
            if not temporary or "already exists" in str(error) or time.monotonic() > deadline:
                raise
        time.sleep(_POLL_S)


@contextmanager
def _dashboard_errors(address: str) -> Iterator[None]:
    """Raise the errors of requests to a dashboard as InputError."""
    try:
        yield
    except AuthenticationError as error:
        raise InputError(
            f"{address}: the cluster requires its token; set RAY_AUTH_MODE=token, which suffices "
            "on the machine and account that started the cluster, where the token is in "
            "~/.ray/auth_token; elsewhere set RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH as well"
        ) from error
    except OSError as error:
        raise InputError(
            f"{address}: no Ray dashboard answers there ({error}); check the address, or open a "
            "tunnel to it; the head node needs ray[default]"
        ) from error
    except (InputError, RunError):
        raise
    except (RuntimeError, ValueError) as error:
        raise InputError(f"{address}: {error}") from error
