"""The marks of a run by entry of the review index, and counts of the marks in the sample."""

import math
import threading

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.errors import InputError
from curation.review import marks
from curation.review.index import ReviewIndex
from curation.review.marks import Mark
from curation.review.request_schema import MarkRequest
from curation.run.layout import RunFolder


class Labels:
    """The last mark of each entry. Thread-safe.

    Raises InputError if marks cannot be read.
    """

    def __init__(self, run: RunFolder, index: ReviewIndex, marker: str) -> None:
        self._index = index
        self._marker = marker
        self._writer = marks.MarkWriter(run)
        self._writing = threading.Lock()  # marks stand in files and here in the same order
        self._lock = threading.Lock()  # of what is read, which waits for no file
        self._by_entry = _marks_by_entry(marks.read_marks(run), index)

    def get(self, entry: int) -> Mark | None:
        return self._by_entry.get(entry)

    def __len__(self) -> int:
        return len(self._by_entry)

    def entries(self, *verdicts: str) -> np.ndarray:
        """Return the entries with one of these verdicts; without arguments, all marked entries."""
        with self._lock:
            found = [e for e, m in self._by_entry.items() if not verdicts or m.verdict in verdicts]
        return np.array(found, np.int64)

    def sample(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the marked entries of this index's sample, and whether each is marked good."""
        with self._lock:
            marked = [
                (entry, mark.verdict == "good")
                for entry, mark in self._by_entry.items()
                if mark.sample == self._index.metadata.sample_design
            ]
        entries, good = zip(*marked, strict=True) if marked else ((), ())
        return np.array(entries, np.int64), np.array(good, bool)

    def add(self, request: MarkRequest) -> Mark | None:
        """Write a mark, and return the mark that the entry then has.

        If a caption was marked in the sample and is marked again while browsing, it stays in the
        sample.

        Raises:
            InputError: there is no such caption, or no corrected text.
            OSError: the mark could not be written.
        """
        with self._writing:
            mark = self._build_mark(request)
            self._writer.write(mark)
            with self._lock:
                if mark.verdict == "withdrawn":
                    self._by_entry.pop(request.entry, None)
                else:
                    self._by_entry[request.entry] = mark
            return self.get(request.entry)

    def _build_mark(self, request: MarkRequest) -> Mark:
        index, entry = self._index, request.entry
        if entry >= index.metadata.entries or not index.has_caption[entry]:
            raise InputError(f"entry {entry}: no caption to mark")
        corrected = (request.corrected or "").strip() or None
        if (request.verdict == "corrected") != (corrected is not None):
            raise InputError(
                "corrected: required for the verdict 'corrected', and for no other verdict"
            )
        before, second = self.get(entry), float(index.columns["second_score"][entry])
        sampled = request.sampled or (
            before is not None and before.sample == index.metadata.sample_design
        )
        return Mark(
            clip_id=index.clip_ids[int(index.columns["clip"][entry])].as_py(),
            candidate=int(index.columns["candidate"][entry]),
            caption=index.captions[entry].as_py(),
            clap_score=float(index.columns["score_clap"][entry]),
            second_score=None if math.isnan(second) else second,
            verdict=request.verdict,
            corrected=corrected,
            marker=self._marker,
            time=marks.utc_timestamp(),
            sample=index.metadata.sample_design if sampled else None,
        )


def _marks_by_entry(marks_read: list[Mark], index: ReviewIndex) -> dict[int, Mark]:
    """The newest mark of each entry; a mark of a caption that the run does not hold is left out."""
    last = list(marks.latest_marks(marks_read).values())
    ids = pa.array([mark.clip_id for mark in last], pa.string())
    wanted = pc.index_in(index.clip_ids, value_set=ids.unique())
    known = pc.drop_null(wanted)
    clips = dict(
        zip(
            ids.unique().take(known.combine_chunks()).to_pylist(),
            np.flatnonzero(wanted.is_valid().to_numpy()).tolist(),
            strict=True,
        )
    )
    placed = {}
    for mark in last:
        entries = index.entries_of(clips[mark.clip_id]) if mark.clip_id in clips else range(0)
        if mark.candidate in range(len(entries)):
            entry = entries[mark.candidate]
            if index.captions[entry].as_py() == mark.caption:
                placed[entry] = mark
    return placed
