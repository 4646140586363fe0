"""Counts clips with pairs for each tag and for each root of the ontology."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.errors import InputError
from curation.report.decided_shard import DecidedShard
from curation.tags import ontology

UNTAGGED = "untagged"
UNKNOWN_CLASS = "no class of AudioSet"

_COUNTS = ("clips", "ok", "paired", "pairs")


@dataclass(frozen=True)
class TagYield:
    """Counts for one tag or root: clips, clips with captions, clips with a pair, and pairs."""

    name: str
    clips: int
    ok: int
    clips_with_pair: int
    pairs: int

    @property
    def share(self) -> float:
        """Share of the clips that have a pair, 0 to 1."""
        return self.clips_with_pair / self.clips if self.clips else 0.0


class TagYields:
    """Counts yields by tag and by root, shard by shard.

    A clip counts for each of its tags, and once for each root above its tags.
    """

    def __init__(self) -> None:
        self._tags: pa.Table | None = None
        self._roots: dict[str, np.ndarray] = {}

    def add(self, shard: DecidedShard) -> None:
        tags = shard.clips["tags"].combine_chunks()
        clip = pc.list_parent_indices(tags).to_numpy()
        flat = tags.flatten()
        counts = np.stack(
            [np.ones(len(shard.ok), np.int64), shard.ok, shard.pairs > 0, shard.pairs]
        ).astype(np.int64)
        rows = pa.table(
            {"mid": pc.struct_field(flat, "mid"), "name": pc.struct_field(flat, "name")}
            | {name: pa.array(counts[row, clip]) for row, name in enumerate(_COUNTS)}
        )
        self._tags = _sum_by_tag(
            rows if self._tags is None else pa.concat_tables([self._tags, rows])
        )
        self._add_roots(pc.struct_field(flat, "mid").to_numpy(zero_copy_only=False), clip, counts)

    def _add_roots(self, mids: np.ndarray, clip: np.ndarray, counts: np.ndarray) -> None:
        under: dict[str, np.ndarray] = {UNTAGGED: np.ones(counts.shape[1], bool)}
        under[UNTAGGED][clip] = False
        for mid in set(mids.tolist()):
            for root in ontology_roots(mid):
                here = under.setdefault(root, np.zeros(counts.shape[1], bool))
                here[clip[mids == mid]] = True
        for root, here in under.items():
            self._roots[root] = self._roots.get(root, 0) + counts[:, here].sum(1)

    def by_tag(self) -> list[TagYield]:
        """Return the yield of each tag, the most frequent tag first."""
        if self._tags is None:
            return []
        rows = self._tags.sort_by([("clips", "descending"), ("name", "ascending")]).to_pylist()
        return [TagYield(row["name"], *(row[name] for name in _COUNTS)) for row in rows]

    def by_root(self) -> list[TagYield]:
        """Return the yield of each root that has clips, the most frequent root first."""
        yields = [TagYield(root, *counts.tolist()) for root, counts in self._roots.items()]
        return sorted((each for each in yields if each.clips), key=lambda each: -each.clips)


@cache
def ontology_roots(mid: str) -> frozenset[str]:
    """Return the names of the roots above a class; UNKNOWN_CLASS for a class not in AudioSet."""
    try:
        above = ontology.ancestor_classes(mid) | {mid}
    except InputError:
        return frozenset({UNKNOWN_CLASS})
    return frozenset(
        ontology.class_name(each) for each in above if not ontology.parent_classes(each)
    )


def _sum_by_tag(rows: pa.Table) -> pa.Table:
    summed = rows.group_by(["mid", "name"]).aggregate([(name, "sum") for name in _COUNTS])
    return summed.rename_columns(["mid", "name", *_COUNTS])
