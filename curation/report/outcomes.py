"""Counts the outcomes of a run's clips: a pair, or the reason why there is none."""

from collections import Counter

import numpy as np

from curation.report.decided_shard import UNDECIDED, DecidedShard
from curation.select.policy import CLIP_OUTCOMES

# A clip counts with the first of these that one of its candidates met: how far it came.
_OUTCOMES = {**CLIP_OUTCOMES, UNDECIDED: "nothing is selected of it yet"}
FAILED = "an error, see below"


class ClipOutcomes:
    """Counts clips by outcome, shard by shard."""

    def __init__(self) -> None:
        self._clips: Counter[str] = Counter()

    def add(self, shard: DecidedShard) -> None:
        open_ = shard.ok.copy()
        self._clips[FAILED] += int((~open_).sum())
        for reason in _OUTCOMES:
            here = np.zeros(len(open_), bool)
            here[shard.clip[shard.reason == reason]] = True
            self._clips[_OUTCOMES[reason]] += int((here & open_).sum())
            open_ &= ~here

    def counts(self) -> dict[str, int]:
        """Return the number of clips by outcome, in the order of the stages; zeros are omitted."""
        order = [*_OUTCOMES.values(), FAILED]
        return {outcome: self._clips[outcome] for outcome in order if self._clips[outcome]}
