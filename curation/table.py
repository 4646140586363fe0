"""The curated table: a Delta Lake table of accepted pairs, with one commit per version.

Readers see either a whole new version or the previous one. Each version names the policy, the plan
and the models that produced it.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, WriterProperties, write_deltalake
from deltalake.exceptions import DeltaError, TableNotFoundError

from curation.errors import FormatError, InputError
from curation.storage.files import Storage
from curation.storage.retry import RetriesExhausted

T = TypeVar("T")

# See docs/formats.md. A version without a number has format 1.
TABLE_FORMAT = 1

# Of a commit's metadata.
LINEAGE_KEY = "tagscribe"
FORMAT_KEY = "tagscribe.format"

# Delta tells what happened between it and the server only as text.
_INTERRUPTED_RESPONSE = "HTTP error"

# What tells pairs apart, and puts them in order.
_SORT_COLUMNS = ("clip_id", "rank")

# A row group is the least that can be read: with audio, some clips. The footer repeats the start of
# the least and greatest value of each column, which would be whole clips.
_WITH_AUDIO = WriterProperties(
    max_row_group_size=8, compression="ZSTD", statistics_truncate_length=64
)


@dataclass(frozen=True)
class TableVersion:
    """One version of the table, and the lineage (policy, plan and models) that produced it."""

    version: int
    rows: int
    lineage: dict[str, Any]


def commit_table(
    storage: Storage,
    uri: str,
    schema: pa.Schema,
    batches: Callable[[], Iterable[pa.RecordBatch]],
    lineage: dict[str, Any],
) -> TableVersion:
    """Write one version of the table in one transaction; the pairs are streamed.

    If the newest version has the same lineage, that version is returned and nothing is written.
    `lineage["code"]` is recorded but not compared. If `batches` raises an exception, it is passed
    on, and no version is made. `batches` is called again if storage failed.
    """
    raised: list[Exception] = []

    def work() -> TableVersion:
        latest = read_newest_version(storage, uri)
        if latest and _is_same(latest.lineage, lineage):
            return latest
        try:
            write_deltalake(
                uri,
                pa.RecordBatchReader.from_batches(schema, _record_errors(batches(), raised)),
                mode="overwrite",
                schema_mode="overwrite",
                storage_options=storage.delta_options(uri),
                writer_properties=_WITH_AUDIO if "audio" in schema.names else None,
                commit_properties=CommitProperties(
                    custom_metadata={
                        LINEAGE_KEY: json.dumps(lineage, sort_keys=True),
                        FORMAT_KEY: str(TABLE_FORMAT),
                    },
                    # Delta would commit after another writer that created the table meanwhile, and
                    # would keep the rows of that writer.
                    max_commit_retries=0,
                ),
            )
        except Exception as error:
            # Delta tells an error of the pairs' source only as text; the error itself says more.
            if raised:
                raise raised[0] from error
            # A commit whose answer was lost looks like another's that came first.
            newest = read_newest_version(storage, uri)
            if newest and _is_same(newest.lineage, lineage):
                return newest
            if newest and newest.version > (latest.version if latest else -1):
                return work()
            raise
        written = read_newest_version(storage, uri)
        assert written is not None
        return written

    return _with_retries(storage, uri, work)


def _is_same(before: dict[str, Any], after: dict[str, Any]) -> bool:
    return {**before, "code": None} == {**after, "code": None}


def _record_errors(
    batches: Iterable[pa.RecordBatch], raised: list[Exception]
) -> Iterator[pa.RecordBatch]:
    try:
        yield from batches
    except Exception as error:
        raised.append(error)
        raise


def read_newest_version(storage: Storage, uri: str) -> TableVersion | None:
    """Read the newest version; None if there is no table yet. Raises FormatError."""
    if (table := _open_if_exists(storage, uri)) is None:
        return None
    entry = _entries(storage, table, limit=1).get(table.version(), {})
    _check_format(table, entry)
    return TableVersion(table.version(), _rows(table), _lineage(entry))


def read_table_version(
    storage: Storage, uri: str, version: int | None = None
) -> tuple[TableVersion, datetime]:
    """Read a version, by default the newest, and the time of its commit.

    Raises InputError if there is no table, or no such version of the table.
    """
    latest = open_table(storage, uri)
    table = latest if version is None else open_table(storage, uri, version)
    entry = _entries(storage, latest)[table.version()]
    committed = datetime.fromtimestamp(entry["timestamp"] / 1000, UTC)
    return TableVersion(table.version(), _rows(table), _lineage(entry)), committed


def open_table(storage: Storage, uri: str, version: int | None = None) -> DeltaTable:
    """Open the table at a version, by default the newest.

    Raises:
        InputError: there is no table, or no such version of the table.
        FormatError: the version has another format than TABLE_FORMAT.
    """
    try:
        table = _open_if_exists(storage, uri, version)
    except RetriesExhausted:
        raise
    except Exception as error:
        raise InputError(f"{uri}: cannot open version {version}: {error}") from error
    latest = table if version is None else _open_if_exists(storage, uri)
    if latest is None:
        raise InputError(f"{uri}: no curated table here; tagscribe select makes one")
    if table is None:
        raise InputError(f"{uri}: cannot open version {version}: its log was removed")
    entries = _entries(storage, latest, limit=latest.version() - table.version() + 1)
    _check_format(table, entries.get(table.version(), {}))
    return table


def _open_if_exists(storage: Storage, uri: str, version: int | None = None) -> DeltaTable | None:
    options = storage.delta_options(uri)
    try:
        open_version = partial(DeltaTable, uri, version=version, storage_options=options)
        return _with_retries(storage, uri, open_version)
    except TableNotFoundError:
        return None


def read_pairs(
    storage: Storage, uri: str, version: int | None = None, columns: list[str] | None = None
) -> pa.Table:
    """Read all pairs of a version, with all or some columns, sorted by clip id and rank."""
    table = open_table(storage, uri, version)
    names = columns or table.schema().to_arrow().names
    needed = list(dict.fromkeys([*names, *_SORT_COLUMNS]))
    files = [storage.read_parquet(file, needed) for file in table.file_uris()]
    if not files:
        return pa.schema(table.schema().to_arrow()).empty_table().select(names)
    # Delta names its files at random and may write several at once: only the rows have an order.
    return (
        pa.concat_tables(files)
        .sort_by([(name, "ascending") for name in _SORT_COLUMNS])
        .select(names)
    )


def list_table_versions(storage: Storage, uri: str) -> list[TableVersion]:
    """List every version that can still be opened, oldest first.

    Delta Lake removes old entries of its log. Versions before these entries can no longer be
    opened.

    Raises:
        InputError: there is no table.
        FormatError: a version has another format than TABLE_FORMAT.
    """
    latest = open_table(storage, uri)
    versions = []
    for number, entry in sorted(_entries(storage, latest).items()):
        try:
            table = _open_if_exists(storage, uri, number)
        except DeltaError:
            continue
        if table is not None:
            _check_format(table, entry)
            versions.append(TableVersion(number, _rows(table), _lineage(entry)))
    return versions


def _entries(
    storage: Storage, latest: DeltaTable, limit: int | None = None
) -> dict[int, dict[str, Any]]:
    """The log's entry of each version, or of the newest `limit`.

    Only the newest table numbers its commits rightly.
    """
    entries = _with_retries(storage, latest.table_uri, lambda: latest.history(limit))
    return {entry["version"]: entry for entry in entries}


def _check_format(table: DeltaTable, entry: dict[str, Any]) -> None:
    if (found := entry.get(FORMAT_KEY, "1")) != str(TABLE_FORMAT):
        code = _lineage(entry).get("code", {})
        raise FormatError(
            f"{table.table_uri} version {table.version()}",
            found,
            TABLE_FORMAT,
            f"commit {code.get('commit')} of tagscribe wrote it: use that version, or move table/ "
            "away and make it again from the evidence: tagscribe select RUN.YAML",
        )


def _lineage(entry: dict[str, Any]) -> dict[str, Any]:
    lineage: dict[str, Any] = json.loads(entry.get(LINEAGE_KEY, "{}"))
    return lineage


def _rows(table: DeltaTable) -> int:
    return sum(pa.table(table.get_add_actions(flatten=True))["num_records"].to_pylist())


def _with_retries(storage: Storage, uri: str, work: Callable[[], T]) -> T:
    """Call Delta Lake, whose client retries requests but not interrupted responses."""

    def attempt() -> T:
        try:
            return work()
        except (OSError, DeltaError) as error:
            if _INTERRUPTED_RESPONSE in str(error):
                raise ConnectionError(str(error)) from error
            raise

    return storage.retry(uri, attempt)
