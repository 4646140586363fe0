"""The columns of a run that the review page needs, stored so that requests are answered at once.

The columns are memory-mapped. Columns that are not used take no memory, and the operating system
can free the memory of the others.
"""

import json
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import get_args

import numpy as np
import pyarrow as pa

from curation.config.policy import Policy, ScoreName
from curation.errors import InputError
from curation.review.postings import Postings
from curation.select.policy import passes_second_threshold
from curation.select.ranking import rank_within

SCORES: tuple[ScoreName, ...] = get_args(ScoreName)
MIN_SECOND_SCORE = "min_second_score"
_COLUMNS = "columns"


@dataclass(frozen=True)
class IndexMetadata:
    """Facts about an index that are stored beside its columns.

    `sample_design` names the sample that is drawn from the index. `unusable` lists the scores (of
    `SCORES`, or SECOND) that policies cannot use, each with the reason that `select` would give.
    """

    run: str
    sample_design: str
    shards: int
    entries: int
    clips: int
    errors: list[str]
    tag_names: list[str]
    unusable: dict[str, str]


@dataclass(frozen=True, eq=False)
class ReviewIndex:
    """A run as entries: one for each candidate, and one for each clip without candidates.

    The class implements `RankedEntries` of `select/policy.py`, so a new threshold needs no sorting.
    Entries are in the order of the evidence. `columns` has these arrays:

    - One value per entry: `clip` (number of the clip), `candidate` (index within the clip; -1
      without a caption), `stratum`, and `second_score`. For each usable score, such as
      `score_clap`, also `score_*` (NaN without a caption) and `rank_*` (1 for the clip's best, 0
      without a caption). `score_log_prob` and `second_score` always exist, and are NaN if the run
      has none.
    - All entries with a caption, reordered: `drawn` (in the order of the sample), `order_*` (best
      first) and `tag_order_*` (by `tag_group`, then best first).
    - One value per clip: `first_entry` (plus a last value, the number of entries), `shard` and
      `row` of the clip's evidence, `error` (index in `IndexMetadata.errors`; -1 without an error),
      and `tag_group` (the clip's rarest tag).
    - `tags` and `tag_starts`: the tags of clip c are `tags[tag_starts[c] : tag_starts[c + 1]]`.
      Tags are numbers of terms in `tag_clips`.
    """

    metadata: IndexMetadata
    columns: dict[str, np.ndarray]
    captions: pa.ChunkedArray
    clip_ids: pa.ChunkedArray
    words: Postings
    tag_clips: Postings

    @cached_property
    def has_caption(self) -> np.ndarray:
        return self.columns["candidate"] >= 0

    @cached_property
    def tag_counts(self) -> np.ndarray:
        """Number of clips with each tag."""
        return np.diff(self.tag_clips.starts)

    @property
    def scores(self) -> list[ScoreName]:
        """The names of the scores by which policies may rank."""
        return [name for name in SCORES if name not in self.metadata.unusable]

    def score(self, name: ScoreName) -> np.ndarray:
        """Return the score `name` as float64 `[entries]`, NaN without a caption.

        Raises InputError if policies cannot use the score.
        """
        self._require(name)
        return self.columns[f"score_{name}"]

    @property
    def second_score(self) -> np.ndarray:
        """The second scorer's score as float64 `[entries]`, NaN without a caption.

        Raises InputError if policies cannot use the score.
        """
        self._require(MIN_SECOND_SCORE)
        return self.columns["second_score"]

    def rank(self, name: ScoreName, eligible: np.ndarray | None = None) -> np.ndarray:
        """Return the rank of each entry in its clip, among the eligible entries (bool `[entries]`).

        The entries of a clip are adjacent, so each entry has a position by clip and rank. Its rank
        among eligible entries is the number of eligible entries of the clip up to this position,
        which is a difference of running sums. If all entries are eligible, the rank is 0 for
        entries without a caption. The rank of an entry that is not eligible is undefined.
        """
        self._require(name)
        rank = self.columns[f"rank_{name}"]
        if eligible is None:
            return rank
        first = self.columns["first_entry"]
        entries = np.diff(first)
        place = np.repeat(first[:-1], entries)
        place += np.maximum(rank, 1)
        count = np.zeros(len(rank) + 1, np.int32)
        count[place] = eligible
        np.cumsum(count, out=count)
        among: np.ndarray = count[place] - np.repeat(count[first[:-1]], entries)
        return among

    def order(self, name: ScoreName, by_tag: bool) -> np.ndarray:
        self._require(name)
        return self.columns[f"tag_order_{name}" if by_tag else f"order_{name}"]

    def tag_group(self, entries: np.ndarray) -> np.ndarray:
        return self.columns["tag_group"][self.columns["clip"][entries]]

    def rank_of(self, policy: Policy, entry: int) -> int:
        """Return the rank that `select` records for a caption in its clip; 0 without a caption."""
        if policy.min_second_score is None or not self.has_caption[entry]:
            return int(self.columns[f"rank_{policy.score}"][entry])
        entries = self.entries_of(int(self.columns["clip"][entry]))
        own = slice(entries.start, entries.stop)
        passes = passes_second_threshold(self.second_score[own], policy.min_second_score)
        score = self.score(policy.score)[own]
        ranks = rank_within(np.zeros(len(entries), int), score, passes)
        return int(ranks[entry - entries.start])

    def _require(self, score: str) -> None:
        if score in self.metadata.unusable:
            raise InputError(self.metadata.unusable[score])

    def entries_of(self, clip: int) -> range:
        first = self.columns["first_entry"]
        return range(int(first[clip]), int(first[clip + 1]))

    def tags_of(self, clip: int) -> list[str]:
        starts = self.columns["tag_starts"]
        numbers = self.columns["tags"][starts[clip] : starts[clip + 1]]
        return [self.metadata.tag_names[number] for number in numbers]


def save_index(folder: Path, about: IndexMetadata, columns: dict[str, np.ndarray]) -> None:
    """Write an index, except for its texts and postings."""
    (folder / _COLUMNS).mkdir()
    for name, values in columns.items():
        np.save(folder / _COLUMNS / name, values)
    (folder / "about.json").write_text(json.dumps(asdict(about)))


def load_index(folder: Path) -> ReviewIndex:
    files = (folder / _COLUMNS).iterdir()
    return ReviewIndex(
        metadata=IndexMetadata(**json.loads((folder / "about.json").read_text())),
        columns={file.stem: np.load(file, mmap_mode="r") for file in files},
        captions=_map_texts(folder / "captions.arrow"),
        clip_ids=_map_texts(folder / "clip_ids.arrow"),
        words=Postings.load(folder, "words"),
        tag_clips=Postings.load(folder, "tags"),
    )


def _map_texts(file: Path) -> pa.ChunkedArray:
    return pa.ipc.open_file(pa.memory_map(str(file))).read_all().column(0)
