"""The columns of a run that the review page needs, stored so that requests are answered at once.

The columns are memory-mapped: unused columns take no memory, and the system may drop used ones.
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
    """The metadata of an index beside its columns.

    `sample_design` names the sample drawn from it. `unusable` has, for each score (of `SCORES`, or
    SECOND) that policies cannot use, the reason in the words of `select`.
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

    It implements `RankedEntries` of `select/policy.py`, so a new threshold needs no sorting.
    Entries are in the order of the evidence. By name in `columns`:

    - of each entry: `clip` (its number), `candidate` (its index in the clip, -1: no caption),
      `stratum`, `second_score`, and for each usable score, such as `score_clap`: `score_*` (NaN: no
      caption) and `rank_*` (1 the clip's best, 0: no caption); `score_log_prob` and `second_score`
      always exist, and are NaN if the run has none;
    - all entries with a caption, reordered: `drawn` (in the order of the sample), `order_*` (best
      first) and `tag_order_*` (by `tag_group`, then best first);
    - of each clip: `first_entry` (and the number of entries at the end), `shard` and `row` of its
      evidence, `error` (its index in `IndexMetadata.errors`, -1: none), `tag_group` (its rarest
      tag);
    - the tags of clip c are `tags[tag_starts[c] : tag_starts[c + 1]]`, numbers of `tag_clips`.
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
        """The scores by which policies may rank."""
        return [name for name in SCORES if name not in self.metadata.unusable]

    def score(self, name: ScoreName) -> np.ndarray:
        """Float64 `[entries]`, NaN without a caption. Raises InputError if it is unusable."""
        self._require(name)
        return self.columns[f"score_{name}"]

    @property
    def second_score(self) -> np.ndarray:
        """Float64 `[entries]`, NaN without a caption. Raises InputError if it is unusable."""
        self._require(MIN_SECOND_SCORE)
        return self.columns["second_score"]

    def rank(self, name: ScoreName, eligible: np.ndarray | None = None) -> np.ndarray:
        """The rank of each entry in its clip, among the eligible entries (bool `[entries]`).

        The entries of a clip are adjacent, so each has a position by clip and rank. A rank is the
        running sum of eligible entries up to that position, minus the sum before the clip. It is 0
        for entries without a caption if all are eligible, and undefined for entries that are not
        eligible.
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
        """The rank in its clip that `select` records for a caption; 0 without a caption."""
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
    """Write an index without its texts and postings."""
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
