"""The parts that all catalogs share: a listing, its coverage and tag column, a check of ids."""

from array import array
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.catalog.audio_files import ListedFiles, count_unread, format_unread, list_audio_folder
from curation.catalog.tag_map import TagFinder
from curation.errors import InputError
from curation.schema import CLIP_SCHEMA, TAG_TYPE, Tag
from curation.storage.files import Storage


@dataclass(frozen=True)
class CatalogCoverage:
    """The numbers of clips that are listed and that have audio, and other findings of the listing.

    `unlisted_files` is the number of audio files that no listed clip uses. `unread_files` counts
    all other files by `unread_kind`, except the metadata of the catalog.
    """

    listed: int
    found: int
    unlisted_files: int = 0
    unread_files: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def missing(self) -> int:
        return self.listed - self.found

    def to_dict(self) -> dict[str, Any]:
        """Return the fields that are recorded in run.json; the plan records the other fields."""
        return {
            "unlisted_files": self.unlisted_files,
            "unread_files": dict(self.unread_files),
            "notes": list(self.notes),
        }


@dataclass(frozen=True, eq=False)
class CatalogListing:
    """The clips of a catalog (CLIP_SCHEMA). `uri` is null for a clip without audio."""

    clips: pa.Table
    coverage: CatalogCoverage

    def summary(self) -> str:
        """Describe the coverage in one or two sentences."""
        coverage = self.coverage
        # Rounded down, so that 100 % means all.
        share = coverage.missing * 1000 // max(1, coverage.listed) / 10
        parts = [
            f"{coverage.listed:,} clips listed: {coverage.found:,} found, "
            f"{coverage.missing:,} missing ({share} %)"
        ]
        if coverage.unlisted_files:
            parts.append(f"{coverage.unlisted_files:,} audio files belong to no listed clip")
        if coverage.unread_files:
            parts.append(f"not read as audio: {format_unread(coverage.unread_files)}")
        return "; ".join([*parts, *coverage.notes])


class TagColumnBuilder:
    """Builds the tag column of a listing, clip by clip."""

    def __init__(self, finder: TagFinder | None = None) -> None:
        """`finder` finds the tags of labels. By default each label must be an AudioSet class."""
        self._finder = finder or TagFinder()
        self._tags: list[Tag] = []
        # Places in `_tags`. A label may have several tags, or none.
        self._known: dict[str | Tag, tuple[int, ...]] = {}
        self._flat = array("i")
        self._offsets = array("i", [0])

    def append(self, labels: Iterable[str | Tag]) -> None:
        """Add the tags of the next clip. A label is a class id, a class name or a Tag.

        If a class occurs more than once, only its first label is used.
        """
        places: dict[str, int] = {}
        for label in labels:
            for place in self._places(label):
                places.setdefault(self._tags[place].mid, place)
        self._flat.extend(places.values())
        self._offsets.append(len(self._flat))

    def notes(self) -> tuple[str, ...]:
        """Return a sentence on the labels that were left out, for `CatalogCoverage.notes`."""
        return self._finder.notes()

    def finish(self, where: Callable[[int], str]) -> pa.Array:
        """Return the column. Raises InputError as `TagFinder.require_known` does."""
        self._finder.require_known(where)
        flat = pa.array(np.frombuffer(self._flat, np.int32))
        fields = [
            pa.array([getattr(tag, field.name) for tag in self._tags], field.type).take(flat)
            for field in TAG_TYPE
        ]
        values = pa.StructArray.from_arrays(fields, fields=list(TAG_TYPE))
        return pa.ListArray.from_arrays(pa.array(np.frombuffer(self._offsets, np.int32)), values)

    def _places(self, label: str | Tag) -> tuple[int, ...]:
        places = self._known.get(label)
        if places is None:
            row = len(self._offsets) - 1
            tags = [label] if isinstance(label, Tag) else self._finder.find_tags(label, row)
            places = tuple(map(self._place, tags))
            if places:  # an unknown label is counted at each clip
                self._known[label] = places
        return places

    def _place(self, tag: Tag) -> int:
        (place,) = self._known.setdefault(tag, (len(self._tags),))
        if place == len(self._tags):
            self._tags.append(tag)
        return place


def build_clip_table(
    clip_id: Iterable[str] | pa.Array,
    uri: Iterable[str | None] | pa.Array,
    start_s: Iterable[float | None] | pa.Array,
    end_s: Iterable[float | None] | pa.Array,
    tags: pa.Array,
) -> pa.Table:
    """Build a table of CLIP_SCHEMA from the columns of a listing."""
    given = [clip_id, uri, start_s, end_s, tags]
    columns = [
        column if isinstance(column, (pa.Array, pa.ChunkedArray)) else pa.array(column, field.type)
        for column, field in zip(given, CLIP_SCHEMA, strict=True)
    ]
    return pa.Table.from_arrays(columns, schema=CLIP_SCHEMA)


def check_unique_ids(
    clip_ids: pa.Array | pa.ChunkedArray, where: Callable[[int], str], remedy: str
) -> None:
    """Check that no two clips have the same id. Raises InputError with the first few repeated ids.

    Args:
        clip_ids: the ids of all clips.
        where: returns the place of a clip in the catalog, for the message.
        remedy: what the user should do, for the message.
    """
    if pc.count_distinct(clip_ids).as_py() == len(clip_ids):
        return
    counts = clip_ids.value_counts()
    repeated = counts.filter(pc.greater(pc.struct_field(counts, "counts"), 1))
    examples = []
    for clip_id in pc.struct_field(repeated, "values")[:3].to_pylist():
        rows = np.flatnonzero(pc.equal(clip_ids, clip_id).to_numpy(zero_copy_only=False))
        examples.append(f"{clip_id!r} ({', '.join(where(int(row)) for row in rows[:3])})")
    more = f" and {len(repeated) - 3:,} more" if len(repeated) > 3 else ""
    raise InputError(
        f"clip ids must be unique, and these are not: {'; '.join(examples)}{more}; {remedy}"
    )


@dataclass(frozen=True)
class DataFiles:
    """The URIs of the files that contain a catalog's clips, and other files in the same folder."""

    uris: list[str]
    others: ListedFiles


def list_data_files(storage: Storage, uri: str, suffix: str) -> DataFiles:
    """List the file at `uri`, or the files below the folder `uri` whose names end in `suffix`.

    Raises InputError if there are no such files.
    """
    found = list_audio_folder(storage, uri, "data")
    data = {path: each for path, each in found.others.items() if _is_data(path, suffix)}
    if not data and not _is_data(found.folder, suffix):
        there = format_unread(count_unread([*found.others, *found.audio])) or "nothing"
        raise InputError(
            f"{uri}: no {suffix} files there, given as data: of the catalog; found {there}"
        )
    for path in data:
        del found.others[path]
    return DataFiles(list(data.values()) or [found.folder], found)


def _is_data(path: str, suffix: str) -> bool:
    return path.lower().endswith(suffix) and not path.rpartition("/")[2].startswith(".")
