"""Draws a stratified sample of a run's clips in one pass over the run's shards."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from curation.report.decided_shard import UNDECIDED, DecidedShard
from curation.run.error_kinds import error_kinds
from curation.select import policy

ACCEPTED = "accepted"
NARROW = "narrowly rejected"
_ERRORS_A_KIND = 3


@dataclass(frozen=True)
class SampledClip:
    """A clip of the sample: its shard and row in the evidence, and its stratum."""

    stratum: str
    shard: int
    row: int


class StratifiedSample:
    """Keeps the clips with the smallest keys in each stratum.

    Keys are random numbers seeded by shard, so the sample does not depend on the order of shards.
    In the stratum of narrowly rejected clips the highest scores come first, so the keys are the
    negative scores.

    Attributes:
        stratum_clips: number of clips of each stratum; a clip counts in each stratum that it
            belongs to.
    """

    def __init__(self, seed: int, clips: int) -> None:
        self._seed = seed
        self._clips = clips
        self._candidates: dict[str, list[tuple[float, int, int]]] = {}
        self.stratum_clips: Counter[str] = Counter()

    def add(self, shard: DecidedShard) -> None:
        keys = np.random.default_rng([self._seed, shard.number]).random(shard.clips.num_rows)
        for reason in sorted(set(shard.reason.tolist())):
            rows = np.unique(shard.clip[shard.reason == reason])
            self._offer(stratum_name(reason), shard.number, rows, keys[rows])
        self._offer_narrow(shard)
        kinds = np.array(error_kinds(shard.clips), object)
        for kind in sorted({kind for kind in kinds.tolist() if kind}):
            rows = np.flatnonzero(kinds == kind)
            self._offer(f"error: {kind}", shard.number, rows, keys[rows], _ERRORS_A_KIND)

    def _offer_narrow(self, shard: DecidedShard) -> None:
        below = shard.reason == policy.BELOW_THRESHOLD
        best = np.full(shard.clips.num_rows, -np.inf)
        np.maximum.at(best, shard.clip[below], shard.score[below])
        rows = np.flatnonzero(np.isfinite(best))
        self._offer(NARROW, shard.number, rows, -best[rows])

    def _offer(
        self, stratum: str, shard: int, rows: np.ndarray, keys: np.ndarray, most: int | None = None
    ) -> None:
        self.stratum_clips[stratum] += len(rows)
        most = self._clips if most is None else min(most, self._clips)
        few = np.argsort(keys, kind="stable")[:most]
        offered = [(float(keys[place]), shard, int(rows[place])) for place in few]
        self._candidates[stratum] = sorted([*self._candidates.get(stratum, []), *offered])[:most]

    def select_clips(self) -> list[SampledClip]:
        """Return the sample. Strata take turns with one clip each, so any prefix is stratified.

        A clip that belongs to several strata counts in the first of them.
        """
        waiting = {stratum: list(self._candidates[stratum]) for stratum in self._order()}
        taken: dict[tuple[int, int], SampledClip] = {}
        while any(waiting.values()) and len(taken) < self._clips:
            for stratum, places in waiting.items():
                while places and places[0][1:] in taken:
                    places.pop(0)
                if places and len(taken) < self._clips:
                    _, shard, row = places.pop(0)
                    taken[shard, row] = SampledClip(stratum, shard, row)
        return list(taken.values())

    def _order(self) -> list[str]:
        first = [each for each in (ACCEPTED, NARROW) if each in self._candidates]
        rest = sorted(
            self._candidates.keys() - set(first), key=lambda each: (each[:5] == "error", each)
        )
        return [*first, *rest]


def stratum_name(reason: str) -> str:
    """Return the stratum of clips that have a candidate with this reason."""
    named = {policy.ACCEPTED: ACCEPTED, UNDECIDED: "not selected yet"}
    return named.get(reason, f"a caption rejected: {reason.replace('_', ' ')}")
