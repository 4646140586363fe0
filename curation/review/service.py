"""Answers the page's requests from a run's index: rows, yield, precision, and single clips.

All text is escaped by `escape_invisible`: invisible characters become their code points.
"""

import math
import threading
from collections.abc import Callable, Hashable
from functools import lru_cache, partial
from typing import Any, TypeVar

import numpy as np

from curation.config.policy import Policy
from curation.errors import InputError
from curation.review import filters, precision, sampling, score_grid
from curation.review.index import MIN_SECOND_SCORE, SCORES, ReviewIndex
from curation.review.labels import Labels
from curation.review.marks import Mark
from curation.review.request_schema import MarkRequest, ViewRequest, YieldRequest
from curation.run import evidence as run_evidence
from curation.run.layout import RunFolder
from curation.schema import EVIDENCE_SCHEMA
from curation.select.policy import (
    ACCEPTED_CODE,
    BELOW_THRESHOLD_CODE,
    REASON_LABELS,
    REASONS,
    SCORE_LABELS,
    apply_rules,
)
from curation.text_safety import escape_invisible

JsonObject = dict[str, Any]
Result = TypeVar("Result")

# Decisions remembered, of a byte an entry: those of two policies while one of them moves. Counts
# are small.
_CACHED_DECISIONS = 4
_CACHED_COUNTS = 64
# Precision is computed at each second bin's edge: charts are no finer.
_CURVE_STEP = 2
_CLIP_COLUMNS = [name for name in EVIDENCE_SCHEMA.names if name != "audio_embedding"]


class UnknownClipError(InputError):
    """The index has no clip with the requested number."""


class ReviewService:
    """Answers requests of the review page; thread-safe.

    Methods with a policy raise InputError if the run lacks a score that the policy uses.
    """

    def __init__(self, run: RunFolder, index: ReviewIndex, labels: Labels) -> None:
        self.run = run
        self.index = index
        self.labels = labels
        self._decide = _memoize(lambda policy: apply_rules(index, policy)[0], _CACHED_DECISIONS)
        self._grid = _memoize(partial(score_grid.build_score_grid, index), len(SCORES))
        self._count = _memoize(self._count_up_to, _CACHED_COUNTS)

    def about(self) -> JsonObject:
        """Describe the run: size, usable scores, tags by number of clips, and kinds of error.

        `scores` and `reasons` map names to labels. `second` is the range of the second scorer's
        scores, or None if policies cannot use them.
        """
        about, clips = self.index.metadata, self.index.tag_counts
        most = np.argsort(-clips, kind="stable")
        return {
            "run": escape_invisible(about.run),
            "clips": about.clips,
            "captions": int(self.index.has_caption.sum()),
            "tags": [[int(t), escape_invisible(about.tag_names[t]), int(clips[t])] for t in most],
            "errors": [escape_invisible(kind) for kind in about.errors],
            "scores": {name: SCORE_LABELS[name] for name in self.index.scores},
            "reasons": REASON_LABELS,
            "second": self._second_score_range(),
        }

    def view(self, request: ViewRequest) -> JsonObject:
        """Return a page of rows, the total number of rows, and the first policy's decisions."""
        first = self._decide(request.policy)
        second = self._decide(request.other) if request.other else None
        shown = filters.filter_mask(self.index, self.labels, request.filter, first, second)
        cutoff = self._cutoff(request.policy, first)
        entries = filters.page_entries(self.index, self.labels, request, shown, cutoff)
        return {
            "total": int(np.count_nonzero(shown)),
            "reasons": _reasons(first, shown),
            "rows": self._rows(entries, request.policy, first),
        }

    def compare_yields(self, request: YieldRequest) -> JsonObject:
        """Compute pairs and precision of a policy, and of a second policy if one is given."""
        answer = {"first": self._outcome(request.policy)}
        if request.other:
            answer["second"] = self._outcome(request.other)
            first, second = self._decide(request.policy), self._decide(request.other)
            answer["overlap"] = {
                name: self._subset(which)
                for name, which in filters.compare_decisions(first, second).items()
            }
        return answer

    def curve(self, policy: Policy) -> JsonObject:
        """Compute the precision at each threshold on the policy's score.

        Only captions that pass the earlier rules of the policy are counted.
        """
        grid = self._grid(policy.score)
        entries, good = self.labels.sample()
        judged = self._decide(policy)[entries] <= BELOW_THRESHOLD_CODE
        counted = (
            self._count(policy, BELOW_THRESHOLD_CODE),
            grid.count(entries[judged]),
            grid.count(entries[judged & good]),
        )
        sizes, marked, right = (score_grid.counts_at_least(each)[::_CURVE_STEP] for each in counted)
        estimates = map(precision.estimate_precision, sizes, marked, right)
        return {
            "sampled": len(entries),
            "lowest": float(grid.edges[0]),
            "highest": float(grid.edges[-1]),
            "points": [
                {"threshold": float(at), "captions": int(size.sum()), **vars(each)}
                for at, size, each in zip(
                    grid.edges[:-1:_CURVE_STEP], sizes, estimates, strict=True
                )
            ],
        }

    def mark(self, request: MarkRequest) -> JsonObject:
        """Write a mark, and return the mark that the caption then has."""
        return {"mark": _mark_to_dict(self.labels.add(request))}

    def clip(self, clip: int) -> JsonObject:
        """Return all data of a clip, read from its evidence. Raises UnknownClipError."""
        evidence = self.evidence(clip)
        tags, scores = evidence["tags"], evidence["tag_scores"] or [None] * len(evidence["tags"])
        return {
            "clip_id": escape_invisible(evidence["clip_id"]),
            "place": escape_invisible(evidence["uri"] or "no file"),
            "stretch": [_number(evidence["start_s"]), _number(evidence["end_s"])],
            "peak_dbfs": _number(evidence["peak_dbfs"]),
            "rms_dbfs": _number(evidence["rms_dbfs"]),
            "guidance": [escape_invisible(each) for each in evidence["guidance"]],
            "agreement": _number(evidence["scorer_agreement"]),
            "error": _error(evidence["error"]),
            "tags": [_tag(tag, score) for tag, score in zip(tags, scores, strict=True)],
            "methods": [escape_invisible(each["method"]) for each in evidence["candidates"]],
        }

    def evidence(self, clip: int) -> JsonObject:
        """Read a clip's row of evidence, without its embedding. Raises UnknownClipError."""
        clips = self.index.metadata.clips
        if not 0 <= clip < clips:
            raise UnknownClipError(f"clip {clip}: there are {clips} of them, from 0 on")
        shard = int(self.index.columns["shard"][clip])
        rows = run_evidence.read_evidence_shard(self.run, shard, _CLIP_COLUMNS)
        row: JsonObject = rows.slice(int(self.index.columns["row"][clip]), 1).to_pylist()[0]
        return row

    def _second_score_range(self) -> JsonObject | None:
        if MIN_SECOND_SCORE in self.index.metadata.unusable or not self.index.has_caption.any():
            return None
        scores = self.index.second_score
        return {"lowest": float(np.nanmin(scores)), "highest": float(np.nanmax(scores))}

    def _rows(self, entries: np.ndarray, policy: Policy, reasons: np.ndarray) -> list[JsonObject]:
        columns = self.index.columns
        clips = columns["clip"][entries]
        captions = self.index.captions.take(entries).to_pylist()
        clip_ids = self.index.clip_ids.take(clips).to_pylist()
        return [
            {
                "entry": entry,
                "clip": clip,
                "clip_id": escape_invisible(clip_id),
                "candidate": int(columns["candidate"][entry]),
                "caption": escape_invisible(caption),
                "clap_score": _number(columns["score_clap"][entry]),
                "second_score": _number(columns["second_score"][entry]),
                "log_prob": _number(columns["score_log_prob"][entry]),
                "rank": self.index.rank_of(policy, entry),
                "reason": REASONS[reasons[entry]],
                "error": self._error_of(clip),
                "tags": [escape_invisible(tag) for tag in self.index.tags_of(clip)],
                "mark": _mark_to_dict(self.labels.get(entry)),
            }
            for entry, clip, caption, clip_id in zip(
                entries.tolist(), clips.tolist(), captions, clip_ids, strict=True
            )
        ]

    def _error_of(self, clip: int) -> str | None:
        kind = self.index.columns["error"][clip]
        return escape_invisible(self.index.metadata.errors[kind]) if kind >= 0 else None

    def _outcome(self, policy: Policy) -> JsonObject:
        reasons, grid = self._decide(policy), self._grid(policy.score)
        accepted, counted = reasons == ACCEPTED_CODE, self._count(policy, ACCEPTED_CODE)
        before = self._count(policy, BELOW_THRESHOLD_CODE)
        return {
            "reasons": _reasons(reasons),
            "clips": _count_distinct(self.index.columns["clip"][accepted]),
            "cutoff": self._cutoff(policy, reasons),
            "lowest": float(grid.edges[0]),
            "highest": float(grid.edges[-1]),
            "histogram": before.sum(axis=1).tolist(),
            "accepted": counted.sum(axis=1).tolist(),
            "precision": self._precision(counted.sum(axis=0), accepted),
        }

    def _subset(self, which: np.ndarray) -> JsonObject:
        """Some captions, bool `[entries]`: how many there are, and their precision."""
        sizes = np.bincount(self.index.columns["stratum"][which], minlength=sampling.STRATUM_COUNT)
        return {"captions": int(sizes.sum()), "precision": self._precision(sizes, which)}

    def _cutoff(self, policy: Policy, reasons: np.ndarray) -> float | None:
        if policy.min_score is not None:
            return policy.min_score
        accepted = reasons == ACCEPTED_CODE
        return float(self.index.score(policy.score)[accepted].min()) if accepted.any() else None

    def _precision(self, sizes: np.ndarray, which: np.ndarray) -> JsonObject:
        """Of some captions, bool `[entries]`, of which there are so many in each stratum."""
        entries, good = self.labels.sample()
        inside, stratum = which[entries], self.index.columns["stratum"][entries]
        marked = np.bincount(stratum[inside], minlength=sampling.STRATUM_COUNT)
        right = np.bincount(stratum[inside & good], minlength=sampling.STRATUM_COUNT)
        return vars(precision.estimate_precision(sizes, marked, right))

    def _count_up_to(self, policy: Policy, reason: int) -> np.ndarray:
        """The captions with this reason or one before it, as `ScoreGrid.count` counts them."""
        return self._grid(policy.score).count(self._decide(policy) <= reason)


def _memoize(work: Callable[..., Result], size: int) -> Callable[..., Result]:
    """`work`, its last answers remembered; of threads that ask the same at once, one works."""
    lock, remembered = threading.Lock(), lru_cache(size)(work)

    def memoized(*args: Hashable) -> Result:
        with lock:
            return remembered(*args)

    return memoized


def _reasons(reasons: np.ndarray, shown: np.ndarray | None = None) -> dict[str, int]:
    """How many entries have each reason, of those shown."""
    counted = {}
    for place, name in enumerate(REASONS):
        such = reasons == place
        counted[name] = int(np.count_nonzero(such if shown is None else such & shown))
    return counted


def _count_distinct(ascending: np.ndarray) -> int:
    return int(np.count_nonzero(np.diff(ascending))) + bool(len(ascending))


def _tag(tag: dict[str, Any], score: float | None) -> list[str | float | None]:
    confidence = _number(tag["confidence"])
    return [
        escape_invisible(tag["name"]),
        confidence,
        escape_invisible(tag["origin"]),
        _number(score),
    ]


def _number(value: float | None) -> float | None:
    """For JSON, which has no NaN."""
    return float(value) if value is not None and math.isfinite(value) else None


def _error(error: dict[str, str] | None) -> str | None:
    if error is None:
        return None
    return escape_invisible(f"{error['stage']}/{error['type']}: {error['message']}")


def _mark_to_dict(mark: Mark | None) -> JsonObject | None:
    if mark is None:
        return None
    return {
        "verdict": mark.verdict,
        "corrected": escape_invisible(mark.corrected or ""),
        "marker": escape_invisible(mark.marker),
    }
