"""What every catalog is built of: a listing, its coverage, its tags, and the check of its ids."""

from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.errors import InputError
from curation.schema import CLIP_SCHEMA, TAG_TYPE, Tag
from curation.storage.files import Storage
from curation.tags import ontology
from curation.uris import absolute_uri

AUDIO_EXTENSIONS = frozenset(
    """
    3gp aac aif aiff amr asf au avi caf flac flv m4a m4b mka mkv mov mp2 mp3 mp4 mpeg mpg oga ogg
    opus ts w64 wav webm wma
    """.split()
)


@dataclass(frozen=True)
class CatalogCoverage:
    """How many clips are listed, how many of them have audio, and what else was noticed."""

    listed: int
    found: int
    unlisted_files: int = 0
    notes: tuple[str, ...] = ()

    @property
    def missing(self) -> int:
        return self.listed - self.found


@dataclass(frozen=True, eq=False)
class CatalogListing:
    """The clips of a catalog (CLIP_SCHEMA), `uri` null where the audio is missing."""

    clips: pa.Table
    coverage: CatalogCoverage

    def summary(self) -> str:
        """The coverage in a sentence or two."""
        coverage = self.coverage
        # Rounded down, so that 100 % means all.
        share = coverage.missing * 1000 // max(1, coverage.listed) / 10
        parts = [
            f"{coverage.listed:,} clips listed: {coverage.found:,} found, "
            f"{coverage.missing:,} missing ({share} %)"
        ]
        if coverage.unlisted_files:
            parts.append(f"{coverage.unlisted_files:,} audio files belong to no listed clip")
        return "; ".join([*parts, *coverage.notes])


class TagColumnBuilder:
    """Gathers the tags of one clip after another into the column of a listing."""

    def __init__(self) -> None:
        self._tags: list[Tag] = []
        self._known: dict[str, int] = {}
        self._flat = array("i")
        self._offsets = array("i", [0])

    def append(self, labels: Iterable[str]) -> None:
        """The tags of the next clip, by id or name; of repeated ones the first is taken.

        Raises InputError for a label that is no AudioSet class; nothing is gathered then.
        """
        places = [self._place(label) for label in labels]
        self._flat.extend(dict.fromkeys(places))
        self._offsets.append(len(self._flat))

    def finish(self) -> pa.Array:
        flat = pa.array(np.frombuffer(self._flat, np.int32))
        fields = [
            pa.array([getattr(tag, field.name) for tag in self._tags], field.type).take(flat)
            for field in TAG_TYPE
        ]
        values = pa.StructArray.from_arrays(fields, fields=list(TAG_TYPE))
        return pa.ListArray.from_arrays(pa.array(np.frombuffer(self._offsets, np.int32)), values)

    def _place(self, label: str) -> int:
        place = self._known.get(label)
        if place is None:
            tag = ontology.find_tag(label)
            place = self._known.setdefault(tag.mid, len(self._tags))
            if place == len(self._tags):
                self._tags.append(tag)
            self._known[label] = place
        return place


def build_clip_table(
    clip_id: Iterable[str] | pa.Array,
    uri: Iterable[str | None] | pa.Array,
    start_s: Iterable[float | None] | pa.Array,
    end_s: Iterable[float | None] | pa.Array,
    tags: pa.Array,
) -> pa.Table:
    """The columns of a listing as a table of CLIP_SCHEMA."""
    given = [clip_id, uri, start_s, end_s, tags]
    columns = [
        column if isinstance(column, (pa.Array, pa.ChunkedArray)) else pa.array(column, field.type)
        for column, field in zip(given, CLIP_SCHEMA, strict=True)
    ]
    return pa.Table.from_arrays(columns, schema=CLIP_SCHEMA)


def check_unique_ids(clip_ids: pa.Array | pa.ChunkedArray, where: Callable[[int], str]) -> None:
    """Raises InputError when two clips have one id, naming the first few and `where` they are."""
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
        f"clip ids must be unique, and these are not: {'; '.join(examples)}{more}; "
        "remove the repeated rows, or name a column of ids that are unique"
    )


def file_extension(path: str) -> str:
    """In lower case and without its dot; empty where there is none."""
    name = path.rpartition("/")[2]
    return name.rpartition(".")[2].lower() if "." in name else ""


def is_audio_file(path: str) -> bool:
    """Whether the name is that of an audio or video file, and not hidden."""
    return not path.rpartition("/")[2].startswith(".") and file_extension(path) in AUDIO_EXTENSIONS


def require_folder(storage: Storage, uri: str, key: str) -> str:
    """The absolute URI of a folder. Raises InputError where there is none."""
    if not storage.exists(uri):
        raise InputError(f"{uri}: no such folder, given as {key}: of the catalog")
    return absolute_uri(uri).rstrip("/")


def list_data_files(storage: Storage, uri: str, suffix: str) -> list[str]:
    """The file of that name, or the files below that folder whose names end in `suffix`.

    Raises InputError where there are none.
    """
    root = require_folder(storage, uri, "data")
    found = [file.uri for file in storage.list_files(root) if _is_data(file.uri, suffix)]
    if not found and not _is_data(root, suffix):
        raise InputError(f"{uri}: no {suffix} files there, given as data: of the catalog")
    return found or [root]


def _is_data(uri: str, suffix: str) -> bool:
    return uri.endswith(suffix) and not uri.rpartition("/")[2].startswith(".")
