"""Collects the scores of all candidates of a run as flat arrays, without Python objects."""

from functools import cached_property

import numpy as np

from curation.report.decided_shard import DecidedShard
from curation.select import policy


class CandidateScores:
    """Collects scores and reasons, shard by shard, as arrays `[candidate]`.

    The candidates are in the order of the evidence.
    """

    def __init__(self) -> None:
        self._parts: dict[str, list[np.ndarray]] = {
            name: [] for name in ("clap", "second", "score", "agreement")
        }
        self._codes: list[np.ndarray] = []
        self._reasons: list[str] = []
        self._first: dict[int, int] = {}
        self._count = 0

    def add(self, shard: DecidedShard) -> None:
        self._first[shard.number] = self._count
        self._count += len(shard.clip)
        self._parts["clap"].append(shard.clap_score)
        self._parts["second"].append(shard.second_score)
        self._parts["score"].append(shard.score)
        self._parts["agreement"].append(shard.agreement)
        codes = np.empty(len(shard.clip), np.int8)
        for reason in np.unique(shard.reason.astype(str)).tolist():
            codes[shard.reason == reason] = self._code(reason)
        self._codes.append(codes)

    def _code(self, reason: str) -> int:
        if reason not in self._reasons:
            self._reasons.append(reason)
        return self._reasons.index(reason)

    def _all(self, name: str) -> np.ndarray:
        return np.concatenate([np.empty(0, np.float32), *self._parts[name]])

    @cached_property
    def clap(self) -> np.ndarray:
        return self._all("clap")

    @cached_property
    def second(self) -> np.ndarray:
        """The second scorer's scores, `[candidate]`; all NaN without a second scorer."""
        return self._all("second")

    @cached_property
    def score(self) -> np.ndarray:
        """The score by which the policy ranked each candidate, `[candidate]`; NaN if undecided."""
        return self._all("score")

    @cached_property
    def agreement(self) -> np.ndarray:
        """Agreement between the two scorers' ranks, `[clip]`; NaN if a clip has none."""
        return self._all("agreement")

    @cached_property
    def _code_of_each(self) -> np.ndarray:
        return np.concatenate([np.empty(0, np.int8), *self._codes])

    @cached_property
    def reasons(self) -> dict[str, int]:
        """Number of candidates by reason."""
        counts = np.bincount(self._code_of_each, minlength=len(self._reasons)).tolist()
        return dict(zip(self._reasons, counts, strict=True))

    @cached_property
    def accepted(self) -> np.ndarray:
        """Whether each candidate was accepted, bool `[candidate]`."""
        if policy.ACCEPTED not in self._reasons:
            return np.zeros(self._count, bool)
        return self._code_of_each == self._reasons.index(policy.ACCEPTED)

    @property
    def lowest_accepted(self) -> float | None:
        return float(self.score[self.accepted].min()) if self.accepted.any() else None

    def of(self, shard: int, candidate: int) -> tuple[float, str]:
        """Return the score of a candidate, and the reason why it was accepted or rejected."""
        place = self._first[shard] + candidate
        return float(self.score[place]), self._reasons[self._code_of_each[place]]
