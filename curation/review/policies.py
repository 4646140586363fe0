"""What a policy makes of a run, fast enough to follow a moving threshold.

The arithmetic is that of `select.rules`, over orders that the index keeps, so that nothing is
sorted again. Raises InputError for a policy whose scores the run does not have.
"""

import numpy as np

from curation.config.policy import Policy
from curation.review.index import Index
from curation.select import policy as select_policy

NO_CAPTION = "no_caption"
REASONS = (
    select_policy.ACCEPTED,
    select_policy.BELOW_THRESHOLD,
    select_policy.NOT_BEST,
    select_policy.BELOW_SECOND_THRESHOLD,
    NO_CAPTION,
)
# Up to BELOW_THRESHOLD it is the threshold that decides.
ACCEPTED, BELOW_THRESHOLD, NOT_BEST, BELOW_SECOND_THRESHOLD, NONE = range(5)


def decide(index: Index, policy: Policy) -> np.ndarray:
    """What becomes of each entry, uint8 `[entries]`: a place in `REASONS`."""
    score = index.score(policy.score)
    reason = np.where(index.has_caption, np.uint8(NOT_BEST), np.uint8(NONE))
    rank = index.columns[f"rank_{policy.score}"]
    if policy.min_second_score is not None:
        vetoed = index.second_score < policy.min_second_score
        np.putmask(reason, vetoed, BELOW_SECOND_THRESHOLD)
        rank = _rank_among(index, rank, ~vetoed)
    remains = (reason == NOT_BEST) & (rank <= policy.per_clip)
    np.putmask(reason, remains, BELOW_THRESHOLD)
    if policy.min_score is not None:
        np.putmask(reason, remains & (score >= policy.min_score), ACCEPTED)
    elif policy.keep_top is not None:
        reason[_best(index, policy, remains)] = ACCEPTED
    else:
        np.putmask(reason, remains, ACCEPTED)
    return reason


def rank(index: Index, policy: Policy, entry: int) -> int:
    """The rank in its clip that `select` writes down for a caption; 0 where there is none."""
    if policy.min_second_score is None or not index.has_caption[entry]:
        return int(index.columns[f"rank_{policy.score}"][entry])
    entries = index.entries_of(int(index.columns["clip"][entry]))
    own = slice(entries.start, entries.stop)
    vetoed = index.second_score[own] < policy.min_second_score
    score = np.where(vetoed, -np.inf, index.score(policy.score)[own])
    return int(select_policy.ranks(np.zeros(len(entries), int), score)[entry - entries.start])


def _rank_among(index: Index, rank: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """The rank of each entry among those of its clip that are kept, itself included.

    Entries of a clip stand together, so each has a place of its own by clip and rank; how many are
    kept up to there, less those up to the clip's first, is a running sum.
    """
    first = index.columns["first_entry"]
    entries = np.diff(first)
    place = np.repeat(first[:-1], entries)
    place += np.maximum(rank, 1)
    count = np.zeros(len(rank) + 1, np.int32)
    count[place] = kept
    np.cumsum(count, out=count)
    return count[place] - np.repeat(count[first[:-1]], entries)


def _best(index: Index, policy: Policy, remains: np.ndarray) -> np.ndarray:
    """The entries that `keep_top` takes of those that remain."""
    assert policy.keep_top is not None
    order = "tag_order" if policy.within == "tag" else "order"
    best_first = index.columns[f"{order}_{policy.score}"]
    best_first = best_first[remains[best_first]]
    if policy.within == "all":
        return best_first[: int(select_policy.kept(np.array(len(best_first)), policy.keep_top))]
    group = index.columns["tag_group"][index.columns["clip"][best_first]]
    size = np.bincount(group)
    place = np.arange(len(group)) - (np.cumsum(size) - size)[group]
    return best_first[place < select_policy.kept(size, policy.keep_top)[group]]
