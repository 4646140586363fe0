"""The rules of selection, as arithmetic over all candidates of a run at once.

Candidates are flat arrays, one entry a candidate, in the order of the evidence; `clip` says which
clip each belongs to. Every rejected candidate keeps its reason.
"""

from dataclasses import dataclass

import numpy as np

from curation.config.policy import Policy
from curation.errors import InputError

ACCEPTED = "accepted"
NOT_BEST = "not_best"
BELOW_THRESHOLD = "below_threshold"
BELOW_SECOND_THRESHOLD = "below_second_threshold"


@dataclass(frozen=True)
class Candidates:
    """All candidates of a run, flat: `[candidates]` each, but `clip_tag`, which is `[clips]`."""

    clip: np.ndarray  # int, ascending
    clap_score: np.ndarray  # float
    second_score: np.ndarray  # float, NaN where there was no second scorer
    log_prob: np.ndarray  # float, NaN where the captioner does not tell it
    clip_tag: np.ndarray  # int: the group a clip counts with under `within: tag`


@dataclass(frozen=True)
class Decisions:
    """What became of each candidate, `[candidates]` each; `rank` counts from 1 within a clip."""

    score: np.ndarray
    rank: np.ndarray
    reason: np.ndarray

    @property
    def accepted(self) -> np.ndarray:
        return self.reason == ACCEPTED


def decide(candidates: Candidates, policy: Policy) -> Decisions:
    """Apply a policy: best of k within each clip, then the threshold on what remains.

    Candidates that the second scorer rejects rank behind the others of their clip.
    """
    score = scores(candidates, policy)
    vetoed = np.zeros(len(score), bool)
    if policy.min_second_score is not None:
        vetoed = candidates.second_score < policy.min_second_score
    rank = ranks(candidates.clip, np.where(vetoed, -np.inf, score))
    reason = np.full(len(score), ACCEPTED, dtype=object)
    reason[rank > policy.per_clip] = NOT_BEST
    reason[vetoed] = BELOW_SECOND_THRESHOLD
    remaining = np.flatnonzero(reason == ACCEPTED)
    if policy.min_score is not None:
        below = remaining[score[remaining] < policy.min_score]
    elif policy.keep_top is not None:
        groups = candidates.clip_tag[candidates.clip[remaining]]
        if policy.within == "all":
            groups = np.zeros_like(groups)
        below = remaining[~top_fraction(score[remaining], groups, policy.keep_top)]
    else:
        below = remaining[:0]
    reason[below] = BELOW_THRESHOLD
    return Decisions(score, rank, reason)


def scores(candidates: Candidates, policy: Policy) -> np.ndarray:
    """The score by which a policy ranks, `[candidates]`."""
    if policy.score == "clap":
        return candidates.clap_score
    if policy.score == "log_prob":
        return candidates.log_prob
    return standardised(candidates.clap_score) + standardised(candidates.log_prob)


def standardised(values: np.ndarray) -> np.ndarray:
    """Mean 0 and standard deviation 1 over the run; all zero where values do not differ."""
    deviation = values.std() if len(values) else 0.0
    return (values - values.mean()) / deviation if deviation > 0 else np.zeros_like(values)


def ranks(clip: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Rank of each candidate within its clip, 1 the best; ties go to the earlier candidate."""
    order = np.lexsort((np.arange(len(score)), -score, clip))
    sorted_clip = clip[order]
    first = np.r_[True, sorted_clip[1:] != sorted_clip[:-1]] if len(order) else np.array([], bool)
    start = np.flatnonzero(first)
    position = np.arange(len(order)) - np.repeat(start, np.diff(np.r_[start, len(order)]))
    result = np.empty(len(order), dtype=np.int32)
    result[order] = position + 1
    return result


def top_fraction(score: np.ndarray, group: np.ndarray, fraction: float) -> np.ndarray:
    """True for the best `fraction` of each group, rounded up; ties go to the earlier entry."""
    place = ranks(group, score)
    size = np.bincount(group, minlength=1)[group] if len(group) else np.array([], int)
    return place <= kept(size, fraction)


def kept(size: np.ndarray, fraction: float) -> np.ndarray:
    """How many `fraction` keeps of a group of so many, int: rounded up."""
    rounded: np.ndarray = np.ceil(size * fraction - 1e-9).astype(int)
    return rounded


def rarest_tag(clip_tags: list[list[str]]) -> np.ndarray:
    """The group of each clip: its rarest tag in the run, ties by mid; untagged clips are one group.

    Returns int `[clips]`.
    """
    _, flat = np.unique([mid for tags in clip_tags for mid in tags], return_inverse=True)
    lengths = [len(tags) for tags in clip_tags]
    return rarest(np.r_[0, np.cumsum(lengths, dtype=np.int64)], flat)


def rarest(starts: np.ndarray, tags: np.ndarray) -> np.ndarray:
    """As `rarest_tag`; the tags of clip c are `tags[starts[c] : starts[c + 1]]`, numbered by mid.

    Returns int `[clips]`.
    """
    frequency = np.bincount(tags)
    clip = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    best = np.lexsort((tags, frequency[tags], clip))
    tagged, first = np.unique(clip[best], return_index=True)
    groups = np.full(len(starts) - 1, len(frequency), np.int64)
    groups[tagged] = tags[best[first]]
    return groups


def need_scores(candidates: Candidates, policy: Policy) -> None:
    """Raises InputError when evidence holds no score, or none that can be ranked, of the policy."""
    unscored = ~np.isfinite(candidates.second_score)
    if policy.min_second_score is not None and unscored.any():
        raise InputError(
            f"min_second_score: {int(unscored.sum())} of {len(unscored)} candidates have no score "
            "of a second scorer; leave it out, or name a second_scorer and annotate in another "
            "folder"
        )
    bad = ~np.isfinite(candidates.clap_score)
    if bad.any():
        raise InputError(
            f"{int(bad.sum())} of {len(bad)} candidates have a score that is no finite number; "
            "the evidence was not written by a working model: annotate again in another folder"
        )
    untold = ~np.isfinite(candidates.log_prob)
    if policy.score != "clap" and untold.any():
        raise InputError(
            f"score: {policy.score}: {int(untold.sum())} of {len(untold)} candidates have no "
            "log-probability, which some captioners do not tell; rank by score: clap"
        )
