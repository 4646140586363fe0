"""Parquet files that hold the audio itself, as Hugging Face lays out AudioSet."""

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curation.catalog.clip_bytes import parquet_row_uri
from curation.catalog.listing import (
    CatalogCoverage,
    CatalogListing,
    TagColumnBuilder,
    build_clip_table,
    check_unique_ids,
    is_audio_file,
    list_data_files,
)
from curation.config.catalog import ParquetConfig
from curation.errors import InputError
from curation.storage.files import Storage


def list_parquet_clips(storage: Storage, config: ParquetConfig) -> CatalogListing:
    """One clip a row; its audio is the row's bytes, or the file that the row's path names.

    The audio is not read. Raises InputError for a file that is not Parquet, a column that is not
    there, a class that AudioSet does not have, or an id given twice.
    """
    rows = _ListedRows()
    for uri in list_data_files(storage, config.data, ".parquet"):
        _list_file(storage, uri, config, rows)
    count = len(rows.ids)
    empty = pa.nulls(count, pa.float64())
    clips = build_clip_table(rows.ids, rows.uris, empty, empty, rows.tags.finish())
    check_unique_ids(clips["clip_id"], rows.places.__getitem__)
    return CatalogListing(clips, CatalogCoverage(count, count - clips["uri"].null_count))


@dataclass
class _ListedRows:
    ids: list[str] = field(default_factory=list)
    uris: list[str | None] = field(default_factory=list)
    places: list[str] = field(default_factory=list)
    tags: TagColumnBuilder = field(default_factory=TagColumnBuilder)


def _list_file(storage: Storage, uri: str, config: ParquetConfig, listed: _ListedRows) -> None:
    with storage.open_input(uri) as source:
        try:
            file = pq.ParquetFile(source)
        except pa.ArrowInvalid as error:
            raise InputError(f"{uri}: not a Parquet file: {error}") from error
        _check_columns(uri, file.schema_arrow, config)
        beside: dict[str, str] | None = None
        row = 0
        for group in range(file.num_row_groups):
            inside = _has_bytes(file, group, config.audio)
            for clip_id, labels, path, has_bytes in _rows(file, group, config, inside):
                place = f"{uri} row {row}"
                if not clip_id:
                    raise InputError(f"{place}: no id in column {config.id!r}")
                try:
                    listed.tags.append(labels or [])
                except InputError as error:
                    raise InputError(f"{place}: {error}") from error
                if has_bytes:
                    found: str | None = parquet_row_uri(uri, row, config.audio)
                else:
                    beside = _files_beside(storage, uri) if beside is None else beside
                    found = beside.get(posixpath.normpath(path)) if path else None
                listed.ids.append(str(clip_id))
                listed.uris.append(found)
                listed.places.append(place)
                row += 1


def _rows(
    file: pq.ParquetFile, group: int, config: ParquetConfig, inside: pa.Array | bool
) -> Iterator[tuple[str | int | None, list[str] | None, str | None, bool]]:
    """Id, classes, path and whether there are bytes, of each row of a row group."""
    columns = [config.id, f"{config.audio}.path"]
    if config.tags is not None:
        columns.append(config.tags)
    table = file.read_row_group(group, columns=columns)
    count = table.num_rows
    labels = [None] * count if config.tags is None else table[config.tags].to_pylist()
    paths = pc.struct_field(table[config.audio], "path").to_pylist()
    with_bytes = [inside] * count if isinstance(inside, bool) else inside.to_pylist()
    return zip(table[config.id].to_pylist(), labels, paths, with_bytes, strict=True)


def _has_bytes(file: pq.ParquetFile, group: int, audio: str) -> pa.Array | bool:
    """Whether the rows of a group have bytes: for all at once, where the footer tells."""
    path = f"{audio}.bytes"
    metadata = file.metadata.row_group(group)
    columns = (metadata.column(index) for index in range(metadata.num_columns))
    column = next(each for each in columns if each.path_in_schema == path)
    statistics = column.statistics
    if statistics is not None and statistics.has_null_count:
        if statistics.null_count == 0:
            return True
        if statistics.null_count == column.num_values:
            return False
    values = file.read_row_group(group, columns=[path])[audio]
    return pc.is_valid(pc.struct_field(values, "bytes"))


def _check_columns(uri: str, schema: pa.Schema, config: ParquetConfig) -> None:
    for column in [config.id, config.audio, config.tags]:
        if column is not None and column not in schema.names:
            raise InputError(
                f"{uri}: no column {column!r} among {', '.join(schema.names)}; name the columns "
                "in the catalog by id:, audio: and tags:, or set tags: null"
            )
    audio = schema.field(config.audio).type
    if not pa.types.is_struct(audio) or {"bytes", "path"} - {part.name for part in audio}:
        raise InputError(
            f"{uri}: column {config.audio!r} is {audio}; expected a struct of bytes and path"
        )
    if config.tags is not None and not pa.types.is_list(schema.field(config.tags).type):
        raise InputError(
            f"{uri}: column {config.tags!r} is {schema.field(config.tags).type}; expected lists "
            "of class ids or names"
        )


def _files_beside(storage: Storage, uri: str) -> dict[str, str]:
    """The audio below the folder of a Parquet file: path within it -> URI."""
    folder = uri.rpartition("/")[0]
    files = (file.uri for file in storage.list_files(folder))
    return {file[len(folder) + 1 :]: file for file in files if is_audio_file(file)}
