"""What a policy makes of a run, fast enough to follow a moving threshold.

The arithmetic is that of `select.rules`, over orders that the index keeps, so that nothing is
sorted again.
"""

import numpy as np

from curation.review.index import Index
from curation.select import rules
from curation.select.policy import Policy

NO_CAPTION = "no_caption"
REASONS = (rules.ACCEPTED, rules.NOT_BEST, rules.BELOW_THRESHOLD, NO_CAPTION)
ACCEPTED, NOT_BEST, BELOW_THRESHOLD, NONE = range(4)


def decide(index: Index, policy: Policy) -> np.ndarray:
    """What becomes of each entry, uint8 `[entries]`: a place in `REASONS`."""
    remains = remaining(index, policy)
    accepted = _accepted(index, policy, remains)
    reason = np.where(index.has_caption, NOT_BEST, NONE).astype(np.uint8)
    reason[remains] = BELOW_THRESHOLD
    reason[accepted] = ACCEPTED
    return reason


def remaining(index: Index, policy: Policy) -> np.ndarray:
    """The entries that `per_clip` lets through, bool `[entries]`."""
    rank = index.columns[f"rank_{policy.score}"]
    return (rank <= policy.per_clip) & index.has_caption


def _accepted(index: Index, policy: Policy, remains: np.ndarray) -> np.ndarray:
    """Which of those that remain are accepted: bool `[entries]`, or their numbers."""
    if policy.min_score is not None:
        return remains & (index.score(policy.score) >= policy.min_score)
    if policy.keep_top is None:
        return remains
    within = "tag_order" if policy.within == "tag" else "order"
    best_first = index.columns[f"{within}_{policy.score}"]
    best_first = best_first[remains[best_first]]
    if policy.within == "all":
        return best_first[: int(_kept(np.array(len(best_first)), policy.keep_top))]
    group = index.columns["tag_group"][index.columns["clip"][best_first]]
    size = np.bincount(group, minlength=1)
    place = np.arange(len(group)) - (np.cumsum(size) - size)[group]
    return best_first[place < _kept(size, policy.keep_top)[group]]


def _kept(size: np.ndarray, fraction: float) -> np.ndarray:
    """How many are kept of so many, as `rules.top_fraction` rounds."""
    kept: np.ndarray = np.ceil(size * fraction - 1e-9).astype(int)
    return kept
