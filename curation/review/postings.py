"""An inverted index: for each term (word of a caption, tag of a clip), the rows that contain it."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import scipy.sparse

# What stands between words: all that is neither letter nor digit, in any script.
_BETWEEN_WORDS = r"[^\pL\pN]+"
_AFTER_ANY_WORD = "\U0010ffff"


@dataclass(frozen=True, eq=False)
class Postings:
    """Terms in ascending order, and for each term the ascending rows that contain it.

    `rows` concatenates the rows of all terms. `starts`, `[terms + 1]`, is the start of each term's
    rows in `rows`.
    """

    terms: pa.StringArray
    starts: np.ndarray
    rows: np.ndarray

    def of(self, terms: Iterable[int]) -> np.ndarray:
        """Return the rows that contain any of these terms, given by number."""
        parts = [self.rows[self.starts[term] : self.starts[term + 1]] for term in terms]
        return np.concatenate(parts) if parts else self.rows[:0]

    def whole(self, term: str) -> np.ndarray:
        """Return the rows that contain exactly this term."""
        place = bisect_left(self.terms, term, key=pa.StringScalar.as_py)
        known = place < len(self.terms) and self.terms[place].as_py() == term
        return self.of([place] if known else [])

    def beginning_with(self, prefix: str) -> np.ndarray:
        """Return the rows of all terms with this prefix.

        A row occurs once for each of its terms with this prefix.
        """
        first = bisect_left(self.terms, prefix, key=pa.StringScalar.as_py)
        last = bisect_right(self.terms, prefix + _AFTER_ANY_WORD, key=pa.StringScalar.as_py)
        return self.rows[self.starts[first] : self.starts[last]]

    def save(self, folder: Path, name: str) -> None:
        np.save(folder / f"{name}_starts.npy", self.starts)
        np.save(folder / f"{name}_rows.npy", self.rows)
        with pa.ipc.new_file(
            folder / f"{name}_terms.arrow", pa.schema([("term", pa.string())])
        ) as out:
            out.write(pa.record_batch([self.terms], ["term"]))

    @classmethod
    def load(cls, folder: Path, name: str) -> "Postings":
        source = pa.memory_map(str(folder / f"{name}_terms.arrow"))
        return cls(
            pa.ipc.open_file(source).get_batch(0).column("term"),
            np.load(folder / f"{name}_starts.npy", mmap_mode="r"),
            np.load(folder / f"{name}_rows.npy", mmap_mode="r"),
        )


class PostingsBuilder:
    """Builds an inverted index from blocks of rows."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._terms: list[np.ndarray] = []
        self._lengths: list[np.ndarray] = []

    def add(self, rows: pa.ListArray) -> None:
        """Add the next rows; each row is a list of terms."""
        encoded = rows.flatten().dictionary_encode()
        numbers = self._numbers
        known = [numbers.setdefault(term, len(numbers)) for term in encoded.dictionary.to_pylist()]
        places = encoded.indices.to_numpy()
        self._terms.append(np.array(known, np.int32)[places] if known else places)
        self._lengths.append(rows.value_lengths().to_numpy())

    def by_row(self) -> tuple[np.ndarray, np.ndarray]:
        """Return starts and terms: the terms of row r are `terms[starts[r] : starts[r + 1]]`."""
        place = np.empty(len(self._numbers), np.int32)
        place[[self._numbers[term] for term in sorted(self._numbers)]] = np.arange(len(place))
        return np.r_[0, np.cumsum(np.concatenate(self._lengths))], place[
            np.concatenate(self._terms)
        ]

    def postings(self) -> Postings:
        starts, terms = self.by_row()
        shape = (len(starts) - 1, len(self._numbers))
        matrix = scipy.sparse.csr_array((np.ones(len(terms), bool), terms, starts), shape=shape)
        by_term = matrix.tocsc()  # a counting sort: linear in time
        rows = by_term.indices.astype(np.int32)
        return Postings(pa.array(sorted(self._numbers), pa.string()), by_term.indptr, rows)


def split_words(texts: pa.Array) -> pa.ListArray:
    """Split texts into lower-case words, both for the index and for searches."""
    split = pc.split_pattern_regex(pc.utf8_lower(texts), _BETWEEN_WORDS)
    flat = split.flatten()
    kept = pc.not_equal(flat, "")
    before = np.r_[0, np.cumsum(kept.to_numpy(zero_copy_only=False))]
    offsets = before[split.offsets.to_numpy() - split.offsets[0].as_py()]
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), flat.filter(kept))
