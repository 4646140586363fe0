"""Lists Parquet files that contain the audio, in the layout of AudioSet on Hugging Face."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curation.catalog.audio_files import ListedFiles, count_unread, list_audio_folder
from curation.catalog.clip_bytes import parquet_row_uri
from curation.catalog.labels import EXPECTED_LABELS, class_label_names, parse_labels
from curation.catalog.listing import (
    CatalogCoverage,
    CatalogListing,
    TagColumnBuilder,
    build_clip_table,
    check_unique_ids,
    list_data_files,
)
from curation.catalog.name_mismatch import check_names
from curation.catalog.tag_map import build_tag_finder
from curation.config.catalog import ParquetConfig
from curation.errors import InputError
from curation.storage.files import Storage

_LISTS = (
    pa.types.is_list,
    pa.types.is_large_list,
    pa.types.is_fixed_size_list,
    pa.types.is_list_view,
    pa.types.is_large_list_view,
)


def list_parquet_clips(storage: Storage, config: ParquetConfig) -> CatalogListing:
    """List one clip per row. Its audio is the bytes in the row, or the file that the row names.

    The audio is not read. Raises InputError for a file that is not Parquet, a missing column, a
    class that AudioSet does not have, a duplicate id, or paths that differ slightly from the paths
    of the files.
    """
    data = list_data_files(storage, config.data, ".parquet")
    rows = _ListedRows(storage, TagColumnBuilder(build_tag_finder(storage, config)))
    for uri in data.uris:
        with _name_damage(uri):
            _list_file(storage, uri, config, rows)
    count = len(rows.ids)
    empty = pa.nulls(count, pa.float64())
    tags = rows.tags.finish(rows.places.__getitem__)
    clips = build_clip_table(rows.ids, rows.uris, empty, empty, tags)
    check_unique_ids(
        clips["clip_id"],
        rows.places.__getitem__,
        "remove the repeated rows, or name a column of ids that are unique (id:)",
    )
    listed = set(rows.uris)
    unlisted = [path for path, uri in data.others.audio.items() if uri not in listed]
    unread = [path for path, uri in data.others.others.items() if uri not in listed]
    bare = (path for path in unread if "." not in path.rpartition("/")[2])
    near = check_names(data.others.folder, rows.missing, unlisted, bare)
    coverage = CatalogCoverage(
        count,
        count - clips["uri"].null_count,
        len(unlisted),
        count_unread(unread),
        (*data.others.notes(), *near, *rows.tags.notes()),
    )
    return CatalogListing(clips, coverage)


@dataclass
class _ListedRows:
    storage: Storage
    tags: TagColumnBuilder
    ids: list[str] = field(default_factory=list)
    uris: list[str | None] = field(default_factory=list)
    places: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    _beside: dict[str, ListedFiles] = field(default_factory=dict)

    def find_beside(self, parquet: str, path: str | None) -> str | None:
        """Find the URI of the file at `path` below the folder of a Parquet file, or None."""
        if not path:
            return None
        folder = parquet.rpartition("/")[0]
        if folder not in self._beside:
            self._beside[folder] = list_audio_folder(self.storage, folder)
        name, uri = self._beside[folder].find(path)
        if uri is None:
            self.missing.append(name)
        return uri


@contextmanager
def _name_damage(uri: str) -> Iterator[None]:
    """Raise what Arrow raises of a file that it cannot read as an InputError."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        # Of storage come subclasses of OSError, of Arrow's own the class itself.
        if isinstance(error, pa.ArrowException) or type(error) is OSError and error.errno is None:
            raise InputError(f"{uri}: not a whole Parquet file: {error}") from error
        raise


def _list_file(storage: Storage, uri: str, config: ParquetConfig, listed: _ListedRows) -> None:
    with storage.open_input(uri) as source:
        file = pq.ParquetFile(source)
        schema = file.schema_arrow
        names = class_label_names(schema.metadata, config.tags) if config.tags else None
        _check_columns(uri, schema, config, names)
        row = 0
        for group in range(file.num_row_groups):
            inside = _has_bytes(file, group, config.audio)
            for clip_id, labels, path, has_bytes in _read_rows(uri, file, group, config, inside):
                place = f"{uri} row {row}"
                try:
                    listed.ids.append(_clip_id(clip_id, config.id))
                    listed.tags.append(parse_labels(labels, config.tags, names))
                except InputError as error:
                    raise InputError(f"{place}: {error}") from error
                if has_bytes:
                    listed.uris.append(parquet_row_uri(uri, row, config.audio))
                else:
                    listed.uris.append(listed.find_beside(uri, path))
                listed.places.append(place)
                row += 1


def _clip_id(value: Any, column: str) -> str:
    if value is None or value == "":
        raise InputError(f"no id in column {column!r}")
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise InputError(f"found {value!r} in {column!r}; expected an id, text or a whole number")
    return str(value)


def _read_rows(
    uri: str, file: pq.ParquetFile, group: int, config: ParquetConfig, inside: pa.Array | bool
) -> Iterator[tuple[Any, Any, str | None, bool]]:
    """Id, classes, path and whether there are bytes, of each row of a row group."""
    columns = [config.id, f"{config.audio}.path"]
    if config.tags is not None:
        columns.append(config.tags)
    table = file.read_row_group(group, columns=columns)
    count = table.num_rows
    try:
        ids = table[config.id].to_pylist()
        labels = [None] * count if config.tags is None else table[config.tags].to_pylist()
        paths = pc.struct_field(table[config.audio], "path").to_pylist()
    except UnicodeDecodeError as error:
        raise InputError(f"{uri} row group {group}: text that is not UTF-8: {error}") from error
    with_bytes = [inside] * count if isinstance(inside, bool) else inside.to_pylist()
    return zip(ids, labels, paths, with_bytes, strict=True)


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


def _check_columns(
    uri: str, schema: pa.Schema, config: ParquetConfig, names: list[str] | None
) -> None:
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
    if config.tags is None:
        return
    labels = schema.field(config.tags).type
    # One number a row is one class of a ClassLabel; all null is a column without any label.
    single = names is not None and pa.types.is_integer(labels)
    if not (single or pa.types.is_null(labels) or any(check(labels) for check in _LISTS)):
        raise InputError(f"{uri}: column {config.tags!r} is {labels}; {EXPECTED_LABELS}")
