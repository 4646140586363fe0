"""Marks that people give to captions: rows in RUN/marks, to which rows are only added.

Each server writes its own files, each in one atomic step. Therefore many people can mark the same
run, also on object storage, and a crash loses no mark.
"""

import csv
import io
import json
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from curation.errors import InputError
from curation.run import layout
from curation.run.layout import RunFolder
from curation.uris import join_uri

Verdict = Literal["good", "bad", "corrected", "withdrawn"]
# Each mark rewrites its file, so files are kept small.
MARKS_PER_FILE = 256


@dataclass(frozen=True)
class Mark:
    """One verdict on a caption. `corrected` is a better caption; `time` is UTC in ISO 8601.

    `sample` names the sample in which the caption was marked. It is None for a caption that
    somebody chose. Only marks of a sample are used to estimate precision.
    """

    clip_id: str
    candidate: int
    caption: str
    clap_score: float
    verdict: Verdict
    corrected: str | None
    marker: str
    time: str
    sample: str | None
    second_score: float | None = None  # None too in marks of before there were second scorers

    @property
    def key(self) -> tuple[str, int]:
        return self.clip_id, self.candidate


def utc_timestamp() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def read_marks(run: RunFolder) -> list[Mark]:
    """Read all marks of a run, the oldest first.

    Raises InputError for an invalid file.
    """
    marks = []
    for file in run.storage.list_files(layout.marks_uri(run.uri)):
        if not file.uri.endswith(".jsonl"):
            continue
        for line in run.storage.read_bytes(file.uri).splitlines():
            try:
                marks.append(Mark(**json.loads(line)))
            except (TypeError, ValueError) as error:
                raise InputError(
                    f"{file.uri}: not a row of marks ({error}); move the file away"
                ) from error
    return sorted(marks, key=lambda mark: mark.time)


def latest_marks(marks: Iterable[Mark]) -> dict[tuple[str, int], Mark]:
    """Return the last mark of each caption, unless it was withdrawn."""
    last = {mark.key: mark for mark in marks}
    return {key: mark for key, mark in last.items() if mark.verdict != "withdrawn"}


def mark_to_line(mark: Mark) -> bytes:
    """Format a mark as a line of its file; invalid text is escaped."""
    return json.dumps(vars(mark)).encode() + b"\n"


class MarkWriter:
    """Writes marks to files of its own, one mark after the other."""

    def __init__(self, run: RunFolder) -> None:
        self._storage = run.storage
        self._folder = layout.marks_uri(run.uri)
        self._begin()

    def write(self, mark: Mark) -> None:
        """Write a mark, and return when it is stored. Raises OSError if it could not be stored."""
        line = mark_to_line(mark)
        self._storage.put(self._uri, b"".join([*self._lines, line]))
        self._lines.append(line)
        if len(self._lines) == MARKS_PER_FILE:
            self._begin()

    def _begin(self) -> None:
        begun = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
        self._uri = join_uri(self._folder, f"{begun}-{uuid.uuid4().hex[:8]}.jsonl")
        self._lines: list[bytes] = []


COLUMNS = (
    "clip_id", "candidate", "caption", "clap_score", "second_score", "right", "corrected",
    "marker", "time", "sample",
)  # fmt: skip


def export_marks(run: RunFolder, to: str) -> int:
    """Write the marked captions of a run as CSV, and return the number of captions.

    The column `right` is 1 or 0. Raises InputError if there are no marks.
    """
    labelled = latest_marks(read_marks(run))
    if not labelled:
        raise InputError(f"{run.uri}: no caption is marked; tagscribe review {run.uri} takes marks")
    text = io.StringIO()
    table = csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="\n")
    table.writeheader()
    for _, mark in sorted(labelled.items()):
        table.writerow({**vars(mark), "right": int(mark.verdict == "good")})
    run.storage.put(to, text.getvalue().encode())
    return len(labelled)
