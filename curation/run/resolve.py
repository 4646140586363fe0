"""Finds the run of a command's RUN argument, which is a run folder or the YAML of a run."""

from dataclasses import dataclass
from pathlib import Path

from curation.config.run import RunConfig
from curation.errors import InputError
from curation.run.config_file import parse_run_config, read_run_config
from curation.run.layout import RunFolder, record_uri
from curation.run.record import RunRecord, read_run_record, require_run_record
from curation.storage.files import Storage
from curation.storage.retry import RetriesExhausted
from curation.storage.settings import StorageConfig
from curation.uris import absolute_uri, is_local_uri

# A folder that is looked for must answer soon: a wrong endpoint looks like a storage that is down.
_SEARCH_RETRY_TIMEOUT_S = 2.0
_YAML = (".yaml", ".yml")


@dataclass(frozen=True)
class ResolvedRun:
    """A planned run: its folder with its storage, its run.json, and its configuration.

    `config` comes from the YAML if one was given, else from run.json. `config.run` and
    `config.storage` are the folder's present place and the settings to access it.
    """

    folder: RunFolder
    record: RunRecord
    config: RunConfig


def resolve_run(
    argument: str, endpoint_url: str | None = None, profile: str | None = None
) -> ResolvedRun:
    """Find the run that `argument` names: a run folder, or the YAML of a planned run.

    run.json is read with the endpoint and profile that are given here or in the environment
    (AWS_ENDPOINT_URL, AWS_PROFILE). Afterwards the storage settings of run.json or of the YAML
    apply, except that an endpoint or profile given here overrides them.

    Raises InputError if there is no run, or if these settings do not give access to it.
    """
    given = {"endpoint_url": endpoint_url, "profile": profile}
    overrides = {key: value for key, value in given.items() if value is not None}
    search = StorageConfig(read_retry_timeout_s=_SEARCH_RETRY_TIMEOUT_S, **overrides)
    if argument.endswith(_YAML) or Path(argument).is_file():
        config = read_run_config(argument, Storage(search))
        folder = config.run
    else:
        folder = absolute_uri(argument).rstrip("/")
        record = _find_record(RunFolder(folder, Storage(search)))
        config = _parse_recorded(record, folder)
    settings = config.storage.model_copy(update=overrides)
    run = RunFolder(folder, Storage(settings))
    config = config.model_copy(update={"storage": settings})
    return ResolvedRun(run, require_run_record(run), config)


def recorded_config(run: RunFolder, record: RunRecord) -> RunConfig:
    """Return the configuration in a run's run.json, with the folder's present place and storage.

    The folder may have been moved, and the command line may name another endpoint.
    """
    config = _parse_recorded(record, run.uri)
    return config.model_copy(update={"storage": run.storage.settings})


def _parse_recorded(record: RunRecord, folder: str) -> RunConfig:
    return parse_run_config({**record.config, "run": folder}, record_uri(folder))


def _find_record(run: RunFolder) -> RunRecord:
    advice = "" if is_local_uri(run.uri) else _describe_search(run.storage.settings)
    try:
        record = read_run_record(run)
    except (RetriesExhausted, PermissionError, InputError) as error:
        raise InputError(f"{error}{advice}") from error
    if record is None:
        raise InputError(
            f"{run.uri}: expected a run folder, where there is no run.json, or the YAML of a run; "
            f"tagscribe plan or run starts one{advice}"
        )
    return record


def _describe_search(settings: StorageConfig) -> str:
    endpoint = settings.endpoint_url or "that of AWS_ENDPOINT_URL, or AWS"
    profile = settings.profile or "that of AWS_PROFILE"
    return (
        f". run.json was looked for with endpoint {endpoint}, and profile {profile}; set these "
        "variables, or give --endpoint-url and --profile"
    )
