"""Loads the rows of a version of a run's table, and the part of their origin that is published.

Rows are Arrow columns without audio. `uri`, `from_s` and `to_s` state where each clip's audio is
and which segment was annotated; they are never published.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from curation import table
from curation.catalog.audio_files import path_of_uri
from curation.config.catalog import AudiosetConfig, FolderConfig
from curation.config.run import RunConfig
from curation.errors import InputError
from curation.publish.columns import COLUMN_DESCRIPTIONS, OPTIONAL_COLUMNS
from curation.publish.text import strip_paths
from curation.run import evidence as run_evidence
from curation.run import layout, plan
from curation.run.footer_cache import read_counts
from curation.run.layout import RunFolder
from curation.run.record import RunRecord, format_model_name, require_run_record
from curation.run.resolve import recorded_config
from curation.storage.files import Storage
from curation.uris import absolute_uri


@dataclass(frozen=True, eq=False)
class DatasetSource:
    """The rows to publish, sorted by clip id, and for each clip with the best caption first.

    `storage` accesses the audio and the destination. With `exact`, a clip is excluded unless its
    audio has the annotated bytes (`audio_sha256`).
    """

    rows: pa.Table
    origin: dict[str, Any]
    storage: Storage
    exact: bool = True


def load_run_source(run: RunFolder, version: int | None = None) -> DatasetSource:
    """Load a version of a run's table, by default the newest version.

    Raises InputError if there is no run, no table, or no such version of the table.
    """
    record = require_run_record(run)
    config = recorded_config(run, record)
    uri = layout.table_uri(run.uri)
    table_version, committed = table.read_table_version(run.storage, uri, version)
    known = table.open_table(run.storage, uri, table_version.version).schema().to_arrow().names
    columns = [name for name in (*COLUMN_DESCRIPTIONS, "uri") if name in known and name != "audio"]
    rows = _with_files(
        run, table.read_pairs(run.storage, uri, table_version.version, columns), config
    )
    rows = _with_evidence(rows, run, record)
    for name in ("captioner", "scorer", "second_scorer"):
        rows = _replace_column(rows, name, _public_model_names(rows[name]))
    empty = [name for name in OPTIONAL_COLUMNS if rows[name].null_count == rows.num_rows]
    return DatasetSource(
        rows.drop_columns(empty),
        _origin(run, record, config, table_version, committed),
        run.storage,
    )


def _origin(
    run: RunFolder,
    record: RunRecord,
    config: RunConfig,
    version: table.TableVersion,
    committed: datetime,
) -> dict[str, Any]:
    """What card and metadata tell of a run, as others may see it."""
    counts = read_counts(run, record.shards)
    return {
        "table_version": version.version,
        "committed": committed.date().isoformat(),
        "selection": version.lineage["selection"],
        "policy": version.lineage["policy"],
        "plan_hash": record.plan_hash,
        "config_hash": record.config_hash,
        "catalog": config.catalog.kind,
        "clips": record.clips,
        "missing": record.missing,
        "annotated": counts.ok,
        "errors": counts.errors,
        "settings": strip_paths(_settings(config)),
        "models": strip_paths(record.models),
        "versions": record.versions,
        "code": version.lineage.get("code"),
    }


def _settings(config: RunConfig) -> dict[str, Any]:
    """The settings that decide what captions say; of the catalog, its kind alone."""
    settings = config.evidence_settings()
    return {name: value for name, value in settings.items() if name not in ("catalog", "annotate")}


def _with_files(run: RunFolder, rows: pa.Table, config: RunConfig) -> pa.Table:
    """Adds `file`, `from_s` and `to_s`; times of AudioSet become those in the listed segment."""
    rows = rows.append_column("from_s", rows["start_s"]).append_column("to_s", rows["end_s"])
    rows = rows.append_column("file", _files(rows, config))
    if not isinstance(config.catalog, AudiosetConfig) or config.catalog.files == "cut":
        return rows
    planned = pa.concat_tables(plan.read_plan_clips(run, ["clip_id", "start_s"]))
    found = planned["start_s"].take(pc.index_in(rows["clip_id"], planned["clip_id"]))
    begins_s = pc.fill_null(found, 0.0)  # null: the file is the segment, cut already
    for name in ("start_s", "end_s"):
        rows = _replace_column(rows, name, pc.subtract(rows[name], begins_s))
    return rows


def _files(rows: pa.Table, config: RunConfig) -> pa.ChunkedArray:
    """A clip's path within the catalog's folder, its file's name, or, of packed clips, its id.

    Raises InputError if the folder's relative path means another folder from here.
    """
    match config.catalog:
        case FolderConfig(audio=folder):
            within = absolute_uri(folder).rstrip("/") + "/"
            paths = _paths(rows["uri"])
            if not pc.all(pc.starts_with(paths, within)).as_py():
                raise InputError(
                    f"{within}: the run's clips are not in this folder, the catalog's "
                    f"{folder!r}; the path is relative: call from the directory in which the run "
                    "was started"
                )
            return pc.utf8_slice_codeunits(paths, len(within))
        case AudiosetConfig():
            name = pc.extract_regex(_paths(rows["uri"]), r"(?P<name>[^/]*)$")
            return pc.struct_field(name, "name")
    return rows["clip_id"]


def _paths(uris: pa.ChunkedArray) -> pa.ChunkedArray:
    """The URIs, those of names that are not UTF-8 as paths: see `readable_path`."""
    if not pc.any(pc.starts_with(uris, "file://")).as_py():
        return uris
    return pa.chunked_array([pa.array([path_of_uri(uri.as_py()) for uri in uris], pa.string())])


def _with_evidence(rows: pa.Table, run: RunFolder, record: RunRecord) -> pa.Table:
    """Adds what evidence tells and the table does not: the file's hash, and further scores."""
    shards = run_evidence.list_done_shards(run)
    columns = ["clip_id", "audio_sha256", "tag_scores"]
    evidence = pa.concat_tables(run_evidence.read_evidence_shards(run, shards, columns))
    clip = pc.index_in(rows["clip_id"], evidence["clip_id"])
    for name in columns[1:]:
        rows = rows.append_column(name, evidence[name].take(clip))
    second: pa.Array | pa.ChunkedArray = pa.nulls(rows.num_rows, pa.float32())
    named = None
    if model := record.models.get("second_scorer"):
        read = run_evidence.read_evidence_shards(run, shards, ["clip_id", "candidates"])
        columns_read = ["clip_id", "caption", "second_score"]
        candidates = pa.concat_tables(
            run_evidence.flatten_candidates(part).select(columns_read) for part in read
        )
        second = candidates["second_score"].take(pc.index_in(_pairs(rows), _pairs(candidates)))
        named = format_model_name(model)
    names = pa.repeat(pa.scalar(named, pa.string()), rows.num_rows)
    return rows.append_column("second_score", second).append_column("second_scorer", names)


def _pairs(rows: pa.Table) -> pa.ChunkedArray:
    return pc.binary_join_element_wise(rows["clip_id"], rows["caption"], "\0")


def _public_model_names(models: pa.ChunkedArray) -> pa.Array:
    """Names of models; of a local path only the last part."""
    coded = models.combine_chunks().dictionary_encode()
    names = pa.array([strip_paths(name) for name in coded.dictionary.to_pylist()], pa.string())
    return names.take(coded.indices)


def _replace_column(rows: pa.Table, name: str, column: pa.Array | pa.ChunkedArray) -> pa.Table:
    return rows.set_column(rows.column_names.index(name), name, column)
