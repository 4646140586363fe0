"""A folder of audio, described by a CSV or JSONL of metadata or by nothing but its files."""

import csv
import io
import json
import math
import posixpath
from collections.abc import Iterator
from typing import Any

from curation.catalog.listing import (
    CatalogCoverage,
    CatalogListing,
    TagColumnBuilder,
    build_clip_table,
    check_unique_ids,
    is_audio_file,
    require_folder,
)
from curation.config.catalog import FolderConfig
from curation.errors import InputError
from curation.storage.files import Storage

Row = dict[str, Any]


def list_folder_clips(storage: Storage, config: FolderConfig) -> CatalogListing:
    """One clip a row of the metadata, or one an audio file where there is none.

    Raises InputError for metadata that cannot be read, a column that is not there, a class that
    AudioSet does not have, or an id given twice.
    """
    folder = require_folder(storage, config.audio, "audio")
    within = len(folder) + 1
    audio = {f.uri[within:]: f.uri for f in storage.list_files(folder) if is_audio_file(f.uri)}
    if config.metadata is None:
        rows = ((uri, {config.file: path}) for path, uri in audio.items())
        return _list_rows(rows, config.model_copy(update=_UNTAGGED), audio)
    return _list_rows(_read_metadata(storage, config.metadata, config), config, audio)


def read_metadata_column(
    storage: Storage, config: FolderConfig, column: str
) -> Iterator[tuple[str, str]]:
    """What a column of the metadata says of each clip, by its id.

    Raises InputError where the metadata cannot be read or has no such column.
    """
    assert config.metadata is not None
    for place, row in _read_metadata(storage, config.metadata, config):
        if column not in row:
            raise InputError(f"{place}: no column {column!r} among {', '.join(row)}")
        start_s = _seconds(row, config.start_s)
        yield _clip_id(row, config, _path(row, config.file), start_s), str(row[column] or "")


_UNTAGGED = {"id": None, "tags": None, "start_s": None, "end_s": None}


def _list_rows(
    rows: Iterator[tuple[str, Row]], config: FolderConfig, audio: dict[str, str]
) -> CatalogListing:
    """`rows` come with the words that say where each stands; `audio` is path within -> URI."""
    ids: list[str] = []
    uris: list[str | None] = []
    starts: list[float | None] = []
    ends: list[float | None] = []
    places: list[str] = []
    tags = TagColumnBuilder()
    listed: set[str] = set()
    for place, row in rows:
        try:
            path = _path(row, config.file)
            start_s, end_s = _seconds(row, config.start_s), _seconds(row, config.end_s)
            if start_s is not None and end_s is not None and end_s <= start_s:
                raise InputError(f"the end, {end_s} s, is not after the start, {start_s} s")
            tags.append(_labels(row, config))
            ids.append(_clip_id(row, config, path, start_s))
        except InputError as error:
            raise InputError(f"{place}: {error}") from error
        listed.add(path)
        uris.append(audio.get(path))
        starts.append(start_s)
        ends.append(end_s)
        places.append(place)
    clips = build_clip_table(ids, uris, starts, ends, tags.finish())
    check_unique_ids(clips["clip_id"], places.__getitem__)
    found = clips.num_rows - clips["uri"].null_count
    return CatalogListing(clips, CatalogCoverage(clips.num_rows, found, len(audio.keys() - listed)))


def _read_metadata(storage: Storage, uri: str, config: FolderConfig) -> Iterator[tuple[str, Row]]:
    columns = [config.file, config.id, config.tags, config.start_s, config.end_s]
    needed = [column for column in columns if column is not None]
    if not storage.exists(uri):
        raise InputError(f"{uri}: no such file, given as metadata: of the catalog")
    with storage.open_input(uri) as file:
        text = io.TextIOWrapper(file, "utf-8-sig", newline="")
        if uri.endswith(".csv"):
            yield from _read_csv(uri, text, needed)
        elif uri.endswith(".jsonl"):
            yield from _read_jsonl(uri, text, needed)
        else:
            raise InputError(f"{uri}: expected metadata that ends in .csv or .jsonl")


def _read_csv(uri: str, text: io.TextIOWrapper, needed: list[str]) -> Iterator[tuple[str, Row]]:
    reader = csv.reader(text, skipinitialspace=True, strict=True)
    try:
        header = next(reader, [])
        _need_columns(f"{uri} line 1", header, needed)
        for values in reader:
            place = f"{uri} line {reader.line_num}"
            if values and len(values) != len(header):
                raise InputError(
                    f"{place}: found {len(values)} fields in {','.join(values)!r}; expected "
                    f"{len(header)}: {', '.join(header)}"
                )
            if values:
                yield place, dict(zip(header, values, strict=True))
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"{uri} line {reader.line_num}: not CSV in UTF-8: {error}") from error


def _read_jsonl(uri: str, text: io.TextIOWrapper, needed: list[str]) -> Iterator[tuple[str, Row]]:
    number = 0
    try:
        for number, line in enumerate(text, 1):
            if not line.strip():
                continue
            row = json.loads(line)
            if not isinstance(row, dict):
                raise InputError(f"{uri} line {number}: found {line.strip()!r}; expected an object")
            _need_columns(f"{uri} line {number}", list(row), needed)
            yield f"{uri} line {number}", row
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{uri} line {number}: not JSON in UTF-8: {error}") from error


def _need_columns(place: str, columns: list[str], needed: list[str]) -> None:
    for column in needed:
        if column not in columns:
            raise InputError(
                f"{place}: no column {column!r} among {', '.join(columns)}; name the columns in "
                "the catalog by file:, id:, tags:, start_s: and end_s:, or set tags: null"
            )


def _path(row: Row, column: str) -> str:
    """The path within the folder, as the listing of the folder has it."""
    value = row[column]
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"found {value!r} as {column!r}; expected a path within the folder")
    return posixpath.normpath(value.strip().replace("\\", "/"))


def _seconds(row: Row, column: str | None) -> float | None:
    value = None if column is None else row[column]
    if value is None or value == "":
        return None
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise InputError(f"found {value!r} as {column!r}; expected seconds from the beginning")
    return seconds


def _labels(row: Row, config: FolderConfig) -> list[str]:
    value = None if config.tags is None else row[config.tags]
    if value is None:
        return []
    if isinstance(value, str):
        value = value.split(config.tag_separator)
    if not isinstance(value, list) or not all(isinstance(label, str) for label in value):
        raise InputError(f"found {value!r} as {config.tags!r}; expected classes, text or a list")
    labels = [label.strip() for label in value if label.strip()]
    for label in labels:
        if (
            label.startswith(("/m/", "/t/"))
            and not label.replace("/", "").replace("_", "").isalnum()
        ):
            raise InputError(f"found {label!r} as one class; set tag_separator: to what divides it")
    return labels


def _clip_id(row: Row, config: FolderConfig, path: str, start_s: float | None) -> str:
    if config.id is None:
        stem = path.rpartition(".")[0] or path
        return stem if start_s is None else f"{stem}_{round(start_s * 1000)}"
    value = row[config.id]
    if not isinstance(value, (str, int)) or value == "":
        raise InputError(f"found {value!r} as {config.id!r}; expected the clip's id")
    return str(value)
