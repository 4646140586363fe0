"""Lists a folder of audio: from a CSV or JSONL of metadata, or from the files alone."""

import math
import posixpath
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from curation.catalog.audio_files import (
    ListedFiles,
    count_unread,
    list_audio_folder,
)
from curation.catalog.labels import parse_labels
from curation.catalog.listing import (
    CatalogCoverage,
    CatalogListing,
    TagColumnBuilder,
    build_clip_table,
    check_unique_ids,
)
from curation.catalog.metadata import Row, read_metadata
from curation.catalog.name_mismatch import check_names
from curation.catalog.tag_map import build_tag_finder
from curation.config.catalog import FolderConfig
from curation.errors import InputError
from curation.schema import Tag
from curation.storage.files import Storage
from curation.uris import absolute_uri, readable_path


def list_folder_clips(storage: Storage, config: FolderConfig) -> CatalogListing:
    """List one clip for each row of the metadata; without metadata, one for each audio file.

    Raises InputError for unreadable metadata, a missing column, a class that AudioSet does not
    have, a duplicate id, or names that differ slightly from the names of the files.
    """
    files = list_audio_folder(storage, config.audio)
    if config.metadata is None:
        rows = _Rows(files, config.model_copy(update=_UNTAGGED), TagColumnBuilder())
        rows.extend((uri, {config.file: path}) for path, uri in files.audio.items())
    else:
        rows = _read_rows(storage, config, files)
    listed = set(rows.paths)
    unlisted = files.audio.keys() - listed
    near = _check_missing(files, rows, unlisted, listed)
    tags = rows.tags.finish(rows.places.__getitem__)
    clips = build_clip_table(rows.ids(), rows.uris, rows.starts, rows.ends, tags)
    check_unique_ids(
        clips["clip_id"],
        rows.places.__getitem__,
        "remove the repeated rows, or name a column of ids that are unique (id:)",
    )
    coverage = CatalogCoverage(
        clips.num_rows,
        clips.num_rows - clips["uri"].null_count,
        len(unlisted),
        count_unread(files.others.keys() - listed - {_path_below(files.folder, config)}),
        (*files.notes(), *near, *rows.tags.notes()),
    )
    return CatalogListing(clips, coverage)


def read_metadata_column(
    storage: Storage, config: FolderConfig, column: str
) -> Iterator[tuple[str, str]]:
    """Yield the id of each clip and its value in a column of the metadata.

    Raises InputError if the metadata cannot be read or has no such column.
    """
    assert config.metadata is not None
    # The audio may be gone when only its licences are wanted.
    there = storage.exists(config.audio)
    files = list_audio_folder(storage, config.audio) if there else ListedFiles(config.audio)
    rows = _read_rows(storage, config, files, column)
    return zip(rows.ids(), rows.texts, strict=True)


_UNTAGGED = {"id": None, "tags": None, "start_s": None, "end_s": None}


@dataclass
class _Rows:
    """The rows of the metadata, column by column; `paths` are as the folder's files have them."""

    files: ListedFiles
    config: FolderConfig
    tags: TagColumnBuilder
    column: str | None = None  # whose text is kept
    given_ids: list[str | None] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    uris: list[str | None] = field(default_factory=list)
    starts: list[float | None] = field(default_factory=list)
    ends: list[float | None] = field(default_factory=list)
    places: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    def extend(self, rows: Iterable[tuple[str, Row]]) -> None:
        """Add rows of the metadata. Each row comes with its place in the file, for messages."""
        for place, row in rows:
            try:
                self._append(row)
            except InputError as error:
                raise InputError(f"{place}: {error}") from error
            self.places.append(place)

    def _append(self, row: Row) -> None:
        config = self.config
        path, uri = self.files.find(_file_name(row, config.file))
        start_s, end_s = _seconds(row, config.start_s), _seconds(row, config.end_s)
        if start_s is not None and end_s is not None and end_s <= start_s:
            raise InputError(f"the end, {end_s} s, is not after the start, {start_s} s")
        self.tags.append(_labels(row, config))
        self.given_ids.append(None if config.id is None else _given_id(row, config.id))
        if self.column is not None:
            value = row[self.column]
            self.texts.append("" if value is None else str(value).strip())
        self.paths.append(path)
        self.uris.append(uri)
        self.starts.append(start_s)
        self.ends.append(end_s)

    def ids(self) -> list[str]:
        """Return the id of each row: the given id, or an id built from the path.

        The built id is the path without its extension, followed by the start in ms if the row has a
        start. If several files differ only by their extension, the extension stays in the id.
        """
        by_path = _path_ids(dict.fromkeys(self.paths))
        starts = ("" if start is None else f"_{round(start * 1000)}" for start in self.starts)
        return [
            by_path[path] + start if given is None else given
            for given, path, start in zip(self.given_ids, self.paths, starts, strict=True)
        ]


def _read_rows(
    storage: Storage, config: FolderConfig, files: ListedFiles, column: str | None = None
) -> _Rows:
    assert config.metadata is not None
    columns = [config.file, config.id, config.tags, config.start_s, config.end_s, column]
    rows = _Rows(files, config, TagColumnBuilder(build_tag_finder(storage, config)), column)
    needed = [name for name in columns if name is not None]
    rows.extend(read_metadata(storage, config.metadata, needed))
    return rows


def _path_ids(paths: Iterable[str]) -> dict[str, str]:
    ids = {path: posixpath.splitext(path)[0] for path in paths}
    while True:
        counts = Counter(ids.values())
        clashing = [
            path for path, clip_id in ids.items() if counts[clip_id] > 1 and path != clip_id
        ]
        if not clashing:
            return ids
        ids.update((path, path) for path in clashing)


def _check_missing(
    files: ListedFiles, rows: _Rows, unlisted: Iterable[str], listed: set[str]
) -> tuple[str, ...]:
    missing = {path for path, uri in zip(rows.paths, rows.uris, strict=True) if uri is None}
    bare = [path for path in files.others if "." not in posixpath.basename(path)]
    return check_names(files.folder, missing, unlisted, set(bare) - listed)


def _path_below(folder: str, config: FolderConfig) -> str | None:
    """The path of the metadata within the folder of audio, if it is there."""
    if config.metadata is None:
        return None
    return absolute_uri(config.metadata).removeprefix(f"{folder}/")


def _file_name(row: Row, column: str) -> str:
    value = row[column]
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"found {value!r} as {column!r}; expected a path within the folder")
    return readable_path(value)


def _seconds(row: Row, column: str | None) -> float | None:
    value = None if column is None else row[column]
    if value is None or isinstance(value, str) and not value.strip():
        return None
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise InputError(f"found {value!r} as {column!r}; expected seconds from the beginning")
    return seconds


def _labels(row: Row, config: FolderConfig) -> list[str | Tag]:
    value = None if config.tags is None else row[config.tags]
    if isinstance(value, str):
        value = value.split(config.tag_separator)
    labels = parse_labels(value, config.tags)
    for label in labels:
        if (
            isinstance(label, str)
            and label.startswith(("/m/", "/t/"))
            and not label.replace("/", "").replace("_", "").isalnum()
        ):
            raise InputError(f"found {label!r} as one class; set tag_separator: to what divides it")
    return labels


def _given_id(row: Row, column: str) -> str:
    value = row[column]
    if isinstance(value, bool) or not isinstance(value, (str, int)) or not str(value).strip():
        raise InputError(f"found {value!r} as {column!r}; expected the clip's id")
    return readable_path(str(value).strip())
