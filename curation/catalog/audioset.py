"""Lists a catalog in AudioSet's layout: a CSV of segments, and audio files named by YouTube id."""

import re
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.catalog.audio_files import (
    drop_audio_extension,
    format_skipped,
    is_audio_file,
    path_of_uri,
    require_folder,
    unread_kind,
)
from curation.catalog.csv_file import check_text_head
from curation.catalog.listing import (
    CatalogCoverage,
    CatalogListing,
    TagColumnBuilder,
    build_clip_table,
    check_unique_ids,
)
from curation.catalog.name_mismatch import check_names
from curation.catalog.tag_map import TagFinder, build_tag_finder
from curation.config.catalog import AudiosetConfig
from curation.errors import InputError
from curation.storage.files import Storage
from curation.uris import readable_path

_EXPECTED = 'YouTube id, start and end in seconds, class ids: abcdefghijk, 30.000, 40.000, "/m/..."'

_LINE = re.compile(
    r"""\s*([\w-]{11})\s*,\s*(\d+(?:\.\d*)?)\s*,\s*(\d+(?:\.\d*)?)\s*,\s*(?:"([^"]*)"|([^",]*))\s*""",
    re.ASCII,
)
# An id may itself begin with Y, hold underscores and end in digits, so a name can be read in two
# ways; the list decides between them.
_NAME = re.compile(r"([\w-]{11})(?:_(\d+(?:\.\d+)?))?(?:_\d+(?:\.\d+)?)?", re.ASCII)


def list_audioset_clips(storage: Storage, config: AudiosetConfig) -> CatalogListing:
    """List the segments of the CSV, each with a clip id and the URI of the file.

    The clip id is `<YouTube id>_<start in ms>`. The URI is null if there is no file. Raises
    InputError for an invalid line, a class that AudioSet does not have, a segment that is listed
    twice, or a file that matches two clips.
    """
    folder = require_folder(storage, config.audio, "audio")
    segments = _read_segments(storage, config.segments, build_tag_finder(storage, config))
    rows = _Rows(segments.ids)
    clip_ids = segments.clip_ids()
    check_unique_ids(
        clip_ids.take(pa.array(rows.of_several, pa.int64())),
        lambda place: f"{config.segments} line {segments.lines[rows.of_several[place]]}",
        "a row stands twice; remove one of the two",
    )
    files = _match_files(storage, folder, segments, rows, config.files)
    found = np.array([uri is not None for uri in files.uris], dtype=bool)
    # The listed times are those of the whole recording: of no use in a clip that is cut already.
    cut_here = np.frombuffer(files.begins_at_start, np.bool_) | (config.files == "cut") | ~found
    clips = build_clip_table(
        clip_ids,
        files.uris,
        pa.array(np.frombuffer(segments.start_ms, np.int64) / 1000, mask=cut_here),
        pa.array(np.frombuffer(segments.end_ms, np.int64) / 1000, mask=cut_here),
        segments.tags.finish(lambda row: f"{config.segments} line {segments.lines[row]}"),
    )
    listed_ids = (ytid for ytid, uri in zip(segments.ids, files.uris, strict=True) if uri is None)
    near = check_names(folder, listed_ids, files.unlisted_ids, files.without_extension)
    coverage = CatalogCoverage(
        listed=len(found),
        found=int(found.sum()),
        unlisted_files=files.unlisted,
        unread_files=dict(files.unread.most_common()),
        notes=(*files.notes(), *near, *segments.tags.notes()),
    )
    return CatalogListing(clips, coverage)


def find_segment_files(
    storage: Storage, audio: str, clip_ids: Iterable[str], files: Literal["cut", "whole"]
) -> tuple[list[str | None], list[float]]:
    """Find the file of each clip in a folder, and the time in seconds at which the clip starts.

    Args:
        storage: reads the folder.
        audio: the folder.
        clip_ids: ids of the form `<YouTube id>_<start in ms>`.
        files: whether a file named by a YouTube id alone has the cut clip or the whole recording.

    Raises InputError for an id of another form, or a file that matches two clips.
    """
    segments = _Segments(TagFinder())
    for clip_id in clip_ids:
        ytid, _, start = clip_id.rpartition("_")
        if not start.isdecimal():
            raise InputError(f"{clip_id!r}: expected <YouTube id>_<start in ms>")
        segments.ids.append(ytid)
        segments.start_ms.append(int(start))
    found = _match_files(
        storage, require_folder(storage, audio, "audio"), segments, _Rows(segments.ids), files
    )
    begins_s = [
        0.0 if cut or files == "cut" else start / 1000
        for cut, start in zip(found.begins_at_start, segments.start_ms, strict=True)
    ]
    return found.uris, begins_s


class _Segments:
    """The rows of a segment list, column by column, as 2 million of them must fit in memory."""

    def __init__(self, finder: TagFinder) -> None:
        self.ids: list[str] = []
        self.start_ms = array("q")
        self.end_ms = array("q")
        self.lines = array("q")
        self.tags = TagColumnBuilder(finder)

    def clip_ids(self) -> pa.Array:
        starts = pa.array(np.frombuffer(self.start_ms, np.int64)).cast(pa.string())
        return pc.binary_join_element_wise(pa.array(self.ids, pa.string()), starts, "_")


class _Rows:
    """The rows of each YouTube id: one for nearly all of them, several for a few."""

    def __init__(self, ids: list[str]) -> None:
        self._first: dict[str, int] = {}
        self._several: dict[str, list[int]] = {}
        for row, ytid in enumerate(ids):
            first = self._first.setdefault(ytid, row)
            if first != row:
                self._several.setdefault(ytid, [first]).append(row)

    @property
    def of_several(self) -> list[int]:
        """Every row whose YouTube id occurs in more than one row."""
        return sorted(row for rows in self._several.values() for row in rows)

    def __contains__(self, ytid: str) -> bool:
        return ytid in self._first

    def __getitem__(self, ytid: str) -> list[int]:
        return self._several.get(ytid) or [self._first[ytid]]


def _read_segments(storage: Storage, uri: str, finder: TagFinder) -> _Segments:
    segments = _Segments(finder)
    if not storage.exists(uri):
        raise InputError(f"{uri}: no such file, given as segments: of the catalog")
    with storage.open_input(uri) as file:
        check_text_head(uri, file.read(64))
        file.seek(0)
        for number, raw in enumerate(file, 1):
            line = raw.decode("utf-8", "replace").strip().removeprefix("\ufeff")
            if not line or line.startswith("#"):
                continue
            row = _LINE.fullmatch(line)
            start_ms = round(float(row[2]) * 1000) if row else 0
            end_ms = round(float(row[3]) * 1000) if row else 0
            if row is None or end_ms <= start_ms:
                raise InputError(f"{uri} line {number}: found {line!r}; expected {_EXPECTED}")
            classes = (row[4] or row[5] or "").split(",")
            segments.tags.append(label for label in map(str.strip, classes) if label)
            segments.ids.append(row[1])
            segments.start_ms.append(start_ms)
            segments.end_ms.append(end_ms)
            segments.lines.append(number)
    return segments


@dataclass
class _Files:
    """The file of each segment, and what was found besides."""

    uris: list[str | None]
    begins_at_start: bytearray
    unlisted_ids: list[str] = field(default_factory=list)
    without_extension: list[str] = field(default_factory=list)
    unread: Counter[str] = field(default_factory=Counter)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    other_start: int = 0
    spare: int = 0

    @property
    def unlisted(self) -> int:
        return len(self.unlisted_ids) + self.other_start

    def take(self, row: int, uri: str, begins_at_start: bool) -> None:
        """Assign a file to a row. A file with the start in its name replaces one without it.

        Otherwise the file that was assigned first is kept.
        """
        if self.uris[row] is not None:
            self.spare += 1
            if self.begins_at_start[row] or not begins_at_start:
                return
        self.uris[row] = uri
        self.begins_at_start[row] = begins_at_start

    def notes(self) -> tuple[str, ...]:
        notes = []
        if self.other_start:
            notes.append(f"{self.other_start:,} of them have a listed id and another start")
        if self.spare:
            notes.append(f"{self.spare:,} files were left aside, as another has the same clip")
        return (*notes, *format_skipped(self.skipped))


def _match_files(
    storage: Storage,
    folder: str,
    segments: _Segments,
    rows: _Rows,
    named_by_id: Literal["cut", "whole"],
) -> _Files:
    files = _Files([None] * len(segments.ids), bytearray(len(segments.ids)))
    within = len(folder) + 1

    def skip(path: str, what: str) -> None:
        files.skipped.append((readable_path(path)[within:], what))

    for file in storage.list_files(folder, skip):
        name = path_of_uri(file.uri).rpartition("/")[2]
        if not is_audio_file(name):
            files.unread[unread_kind(name)] += 1
            if "." not in name:
                files.without_extension.append(name)
            continue
        read = next((each for each in _readings(name) if each[0] in rows), None)
        if read is None:
            files.unlisted_ids.append(next(_readings(name), (drop_audio_extension(name), None))[0])
            continue
        ytid, start = read
        if start is None:
            if len(rows[ytid]) > 1 and named_by_id == "cut":
                raise InputError(
                    _ambiguous(file.uri, ytid, [segments.start_ms[r] for r in rows[ytid]])
                )
            for row in rows[ytid]:
                files.take(row, file.uri, begins_at_start=False)
            continue
        named = [row for row in rows[ytid] if _is_start(start, segments.start_ms[row])]
        for row in named:
            files.take(row, file.uri, begins_at_start=True)
        if not named:
            files.other_start += 1
    return files


def _readings(name: str) -> Iterator[tuple[str, str | None]]:
    """The YouTube id and, if there is one, the start, as each way to read the name has them."""
    stem = name.rpartition(".")[0]
    for text in (stem, stem[1:] if stem.startswith("Y") else ""):
        found = _NAME.fullmatch(text)
        if found:
            yield found[1], found[2]


def _is_start(text: str, start_ms: int) -> bool:
    """Whether the number in a name is this start, in seconds or in milliseconds."""
    return round(float(text) * 1000) == start_ms or float(text) == start_ms


def _ambiguous(uri: str, ytid: str, starts_ms: list[int]) -> str:
    starts = ", ".join(f"{start / 1000:g} s" for start in starts_ms)
    return (
        f"{uri}: {ytid} is listed with several starts ({starts}), and the name does not say which "
        f"this is: name it {ytid}_<start>, or set files: whole if it is the whole recording"
    )
