"""The selection policy: its decisions on candidates, its expected yield, and its description.

`apply_rules` applies the rules in one fixed order to candidates that implement `RankedEntries`.
These are the candidates of `select`, which sorts them, and those of the review index, which stores
their orders on disk. `select/apply.py` reads evidence and writes decisions.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from curation.config.policy import Policy, ScoreName
from curation.errors import InputError
from curation.select.ranking import best_first, rank_within, standardise, take_fraction

ACCEPTED = "accepted"
BELOW_THRESHOLD = "below_threshold"
NOT_BEST = "not_best"
BELOW_SECOND_THRESHOLD = "below_second_threshold"
NO_CAPTION = "no_caption"
# By code: the later a rule rejects, the lower the code.
REASONS = (ACCEPTED, BELOW_THRESHOLD, NOT_BEST, BELOW_SECOND_THRESHOLD, NO_CAPTION)
(
    ACCEPTED_CODE,
    BELOW_THRESHOLD_CODE,
    NOT_BEST_CODE,
    BELOW_SECOND_THRESHOLD_CODE,
    NO_CAPTION_CODE,
) = range(len(REASONS))

SCORE_LABELS: dict[ScoreName, str] = {
    "clap": "CLAP score",
    "log_prob": "log-probability",
    "combined": "CLAP score and log-probability, each standardised",
}
REASON_LABELS = {
    ACCEPTED: "accepted",
    BELOW_THRESHOLD: "below threshold",
    NOT_BEST: "not the clip's best",
    BELOW_SECOND_THRESHOLD: "below the second scorer's threshold",
    NO_CAPTION: "no caption",
}
# What became of a clip, by the reason of that candidate of it which came farthest; farthest first.
CLIP_OUTCOMES = {
    ACCEPTED: "came to a pair",
    BELOW_THRESHOLD: "the best caption is below the threshold",
    BELOW_SECOND_THRESHOLD: "every caption is below the second threshold",
}


class RankedEntries(Protocol):
    """The candidates as the rules need them: arrays `[entries]`, unless stated otherwise.

    An entry is one candidate, or a clip without candidates, which has NaN scores.
    """

    @property
    def has_caption(self) -> np.ndarray:
        """Whether each entry is a caption, bool `[entries]`; False for clips without one."""

    @property
    def second_score(self) -> np.ndarray:
        """The second scorer's score of each entry, float `[entries]`."""

    def score(self, name: ScoreName) -> np.ndarray:
        """The score `name` of each entry, float `[entries]`."""

    def rank(self, name: ScoreName, eligible: np.ndarray | None) -> np.ndarray:
        """The rank of each entry within its clip, int `[entries]`, 1 for the highest score `name`.

        Only entries that are `eligible` (bool `[entries]`) are ranked; None: all entries.
        """

    def order(self, name: ScoreName, by_tag: bool) -> np.ndarray:
        """The entries with a caption, best first; with `by_tag`, sorted by tag group first."""

    def tag_group(self, entries: np.ndarray) -> np.ndarray:
        """The tag group of the clip of each entry in `entries`, int `[len(entries)]`."""


@dataclass(frozen=True)
class Candidates:
    """All candidates of a run as arrays `[candidates]`, except `clip_tag`, which is `[clips]`.

    Implements `RankedEntries`.
    """

    clip: np.ndarray  # int, ascending
    clap_score: np.ndarray  # float
    second_score: np.ndarray  # float, NaN where there was no second scorer
    log_prob: np.ndarray  # float, NaN where the captioner does not give it
    clip_tag: np.ndarray  # int: the group a clip counts with under `stratify_by: tag`

    @cached_property
    def has_caption(self) -> np.ndarray:
        return np.ones(len(self.clip), bool)

    def score(self, name: ScoreName) -> np.ndarray:
        if name == "clap":
            return self.clap_score
        if name == "log_prob":
            return self.log_prob
        return standardise(self.clap_score) + standardise(self.log_prob)

    def rank(self, name: ScoreName, eligible: np.ndarray | None = None) -> np.ndarray:
        """As `RankedEntries.rank`; entries that are not eligible rank last in their clip."""
        return rank_within(self.clip, self.score(name), eligible)

    def order(self, name: ScoreName, by_tag: bool) -> np.ndarray:
        return best_first(self.score(name), self.clip_tag[self.clip] if by_tag else None)

    def tag_group(self, entries: np.ndarray) -> np.ndarray:
        return self.clip_tag[self.clip[entries]]


@dataclass(frozen=True)
class Decisions:
    """The decision on each candidate, as arrays `[candidates]`; `rank` starts at 1 in each clip."""

    score: np.ndarray
    rank: np.ndarray
    reason: np.ndarray

    @property
    def accepted(self) -> np.ndarray:
        return self.reason == ACCEPTED


def decide(candidates: Candidates, policy: Policy) -> Decisions:
    """Apply a policy to each candidate.

    Candidates that the second scorer rejects rank after the others of their clip.
    """
    codes, rank = apply_rules(candidates, policy)
    return Decisions(candidates.score(policy.score), rank, np.array(REASONS, object)[codes])


def apply_rules(entries: RankedEntries, policy: Policy) -> tuple[np.ndarray, np.ndarray]:
    """Apply the rules in order: second scorer's threshold, best of the clip, threshold.

    Returns:
        reasons: uint8 `[entries]`, the index of each entry's reason in `REASONS`.
        ranks: int `[entries]`, the rank of each entry within its clip. The rank of an entry that
            the second scorer rejects has no meaning.
    """
    codes = np.where(entries.has_caption, np.uint8(NOT_BEST_CODE), np.uint8(NO_CAPTION_CODE))
    eligible = None
    if policy.min_second_score is not None:
        eligible = passes_second_threshold(entries.second_score, policy.min_second_score)
        np.putmask(codes, ~eligible, BELOW_SECOND_THRESHOLD_CODE)
    rank = entries.rank(policy.score, eligible)
    remains = (codes == NOT_BEST_CODE) & (rank <= policy.max_per_clip)
    np.putmask(codes, remains, BELOW_THRESHOLD_CODE)
    _accept(entries, policy, remains, codes)
    return codes, rank


def passes_second_threshold(second_score: np.ndarray, threshold: float) -> np.ndarray:
    """Whether each entry passes the second scorer's threshold, bool `[entries]`; NaN passes."""
    passes: np.ndarray = ~(second_score < threshold)
    return passes


def _accept(entries: RankedEntries, policy: Policy, remains: np.ndarray, codes: np.ndarray) -> None:
    """Accept those of the entries that remain (bool `[entries]`) which reach the threshold."""
    if policy.min_score is not None:
        reach = entries.score(policy.score) >= policy.min_score
        np.putmask(codes, remains & reach, ACCEPTED_CODE)
    elif policy.top_fraction is not None:
        by_tag = policy.stratify_by == "tag"
        ordered = entries.order(policy.score, by_tag)
        ordered = ordered[remains[ordered]]
        group = entries.tag_group(ordered) if by_tag else None
        codes[take_fraction(ordered, policy.top_fraction, group)] = ACCEPTED_CODE
    else:
        np.putmask(codes, remains, ACCEPTED_CODE)


def require_scores(candidates: Candidates, policy: Policy) -> None:
    """Raise InputError if the evidence lacks the policy's score, or has only NaN for it."""
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
    missing = ~np.isfinite(candidates.log_prob)
    if policy.score != "clap" and missing.any():
        raise InputError(
            f"score: {policy.score}: {int(missing.sum())} of {len(missing)} candidates have no "
            "log-probability, which some captioners do not give; rank by score: clap"
        )


def expected_yield(
    policy: Policy,
    ok: int,
    clips: int,
    clips_scoring: Callable[[float], int] | None = None,
) -> float | None:
    """Compute the share of the clips that will get a pair from counts alone, before a selection.

    Args:
        ok, clips: number of clips with captions, and number of all clips.
        clips_scoring: returns the number of clips whose best CLAP score is at least its argument.
            None if that number is not known.

    Returns None if only `decide` can compute the share. This is so if the policy takes several
    captions of a clip, rejects by the second scorer, or has a threshold on a score whose
    distribution is not known.
    """
    if policy.max_per_clip != 1 or policy.min_second_score is not None or not clips:
        return None
    if policy.min_score is None:
        return (policy.top_fraction or 1.0) * ok / clips
    if policy.score != "clap" or clips_scoring is None:
        return None
    return clips_scoring(policy.min_score) / clips


def describe(policy: Policy) -> str:
    """Describe what the policy accepts: one sentence a rule, in the order of `apply_rules`."""
    sentences = []
    if policy.min_second_score is not None:
        sentences.append(
            f"Captions with a second score below {policy.min_second_score:g} are rejected."
        )
    best = "caption is" if policy.max_per_clip == 1 else f"{policy.max_per_clip} captions are"
    sentences.append(f"The best {best} taken of each clip, by {SCORE_LABELS[policy.score]}.")
    if policy.min_score is not None:
        sentences.append(f"Of these, those that score {policy.min_score:g} or more are accepted.")
    elif policy.top_fraction is not None:
        scope = "of each tag" if policy.stratify_by == "tag" else "of the run"
        share = f"{100 * policy.top_fraction:g} %"
        sentences.append(f"Of these, the best {share} {scope} are accepted.")
    else:
        sentences.append("These are accepted, without a threshold.")
    return " ".join(sentences)
