"""run.json: the configuration, plan and models of the run that a folder contains."""

import dataclasses
import hashlib
import json
import platform
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib.metadata import version
from typing import Any

from curation.config.run import RunConfig
from curation.errors import FormatError, InputError
from curation.run.code_version import format_code_version, read_code_version
from curation.run.layout import RunFolder, record_uri

# Of run.json, plan/, decisions/ and progress/: see docs/formats.md.
RUN_FORMAT = 5
READ_RUN_FORMATS = (3, 4, RUN_FORMAT)
# Hex digits of a plan's hash in the names of its files.
PLAN_MARK_DIGITS = 12
RECORDED_PACKAGES = ("tagscribe", "ray", "torch", "torchaudio", "transformers", "pyarrow")


@dataclass(frozen=True)
class RunRecord:
    """The content of run.json: all that is needed to read the run's evidence and to trust it."""

    format: int
    config: dict[str, Any]
    config_hash: str
    plan_hash: str
    clips: int
    missing: int
    shards: int
    shard_clips: int
    models: dict[str, dict[str, str]]
    versions: dict[str, str]
    # What the catalog saw and did not list; empty in runs of before it was recorded.
    coverage: dict[str, Any] = field(default_factory=dict)

    @property
    def unread_files(self) -> dict[str, int]:
        """For each extension that is no audio format, the number of files."""
        return dict(self.coverage.get("unread_files", {}))

    @property
    def plan_mark(self) -> str:
        """The part of the plan's hash in the names of the plan's files; empty before format 5."""
        return self.plan_hash[:PLAN_MARK_DIGITS] if self.format >= 5 else ""


def format_model_name(identity: Mapping[str, str]) -> str:
    """Format a model's name for rows: name, and revision or first digits of the weights' hash."""
    mark = identity.get("revision") or identity.get("weights_sha256", "")[:12]
    return f"{identity['model']}@{mark}"


def hash_config(
    config: RunConfig, models: Mapping[str, Mapping[str, str]], shard_clips: int
) -> str:
    """Hash everything that affects the evidence: settings, and the content of the models.

    `shard_clips` is the size from the plan, so the hash is the same if the YAML says `auto`.
    """
    settings = {
        "settings": _settings_as_planned(config, shard_clips),
        "models": {part: dict(identity) for part, identity in models.items()},
    }
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


@cache
def read_package_versions() -> dict[str, str]:
    """Return the versions of Python and packages by name, and this code's (`read_code_version`)."""
    packages = {name: version(name) for name in RECORDED_PACKAGES}
    return {"python": platform.python_version(), **packages, **read_code_version()}


def read_run_record(run: RunFolder) -> RunRecord | None:
    """Read the record of a run folder; None if no run was planned yet.

    Raises FormatError if the record's format is not one of READ_RUN_FORMATS.
    """
    try:
        data = run.storage.read_bytes(record_uri(run.uri))
    except FileNotFoundError:
        return None
    fields = json.loads(data)
    if fields.get("format") not in READ_RUN_FORMATS:
        versions = fields.get("versions", {})
        raise FormatError(
            record_uri(run.uri),
            fields.get("format"),
            f"{', '.join(map(str, READ_RUN_FORMATS[:-1]))} and {RUN_FORMAT}",
            f"tagscribe {versions.get('tagscribe')} wrote it, {format_code_version(versions)}: use "
            "that version, or annotate the clips again in another folder: tagscribe run RUN.YAML",
        )
    if fields["format"] == 3:
        # Its configuration has a number always.
        fields["shard_clips"] = fields["config"]["annotate"]["shard_clips"]
    known = {each.name for each in dataclasses.fields(RunRecord)}
    return RunRecord(**{key: value for key, value in fields.items() if key in known})


def require_run_record(run: RunFolder) -> RunRecord:
    record = read_run_record(run)
    if record is None:
        raise InputError(f"{run.uri}: no run here (no run.json); start with tagscribe plan or run")
    return record


def write_run_record(run: RunFolder, record: RunRecord) -> bool:
    """Create run.json. Return False if another process created it first."""
    data = json.dumps(asdict(record), indent=2, ensure_ascii=False).encode() + b"\n"
    return run.storage.put_new(record_uri(run.uri), data)


def check_same_run(
    run: RunFolder, record: RunRecord, config: RunConfig, models: Mapping[str, Mapping[str, str]]
) -> None:
    """Check that `config` and its models are those of the run folder.

    Raises InputError that lists each setting that differs, with the found and the expected value.
    """
    given = config.annotate.shard_clips
    shard_clips = record.shard_clips if given == "auto" else given
    theirs = RunConfig.model_validate(record.config)
    found = {**_settings_as_planned(theirs, record.shard_clips), **_by_part(record.models)}
    wanted = {**_settings_as_planned(config, shard_clips), **_by_part(models)}
    # Not by the hash: a key that is new since the run was planned changes it, even by its default.
    differences = list(list_differences(found, wanted))
    if not differences:
        return
    raise InputError(
        f"{run.uri} belongs to another run: "
        + "; ".join(f"{key}: {old!r} there, {new!r} here" for key, old, new in differences)
        + ". Name another folder under run:, or use the configuration in its run.json"
    )


def _settings_as_planned(config: RunConfig, shard_clips: int) -> dict[str, Any]:
    settings = config.evidence_settings()
    return {**settings, "annotate": {**settings["annotate"], "shard_clips": shard_clips}}


def list_differences(
    before: Mapping[str, Any], after: Mapping[str, Any]
) -> Iterator[tuple[str, Any, Any]]:
    """List the dotted keys in which nested settings differ, in order, with both values."""
    old, new = dict(_flatten(before)), dict(_flatten(after))
    for key in sorted(old.keys() | new.keys()):
        if old.get(key) != new.get(key):
            yield key, old.get(key), new.get(key)


def _by_part(models: Mapping[str, Mapping[str, str]]) -> dict[str, Mapping[str, str]]:
    return {f"{part}.model": identity for part, identity in models.items()}


def _flatten(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _flatten(item, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, value
