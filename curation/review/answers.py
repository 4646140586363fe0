"""Answers to what the page asks, over a run's index: rows, yield, precision, one clip whole.

All text that leaves here is `visible`: what is not seen in it is told by its code point.
"""

import math
from dataclasses import asdict
from functools import lru_cache
from typing import Any

import numpy as np

from curation import sink
from curation.review import drawing, filters, policies, precision
from curation.review.index import SCORES, Index
from curation.review.labels import Labels
from curation.review.marks import Mark
from curation.review.policies import REASONS
from curation.review.questions import Verdict, View, Yield
from curation.schema import EVIDENCE_SCHEMA
from curation.select.policy import Policy
from curation.visible import visible

Answer = dict[str, Any]

# Decisions kept, of a byte an entry: those of the two policies compared, while one of them moves.
_DECISIONS = 4
_BINS = 60
_THRESHOLDS = 33
_OF_A_CLIP = [name for name in EVIDENCE_SCHEMA.names if name != "audio_embedding"]


class Answers:
    """Safe in threads."""

    def __init__(self, index: Index, labels: Labels) -> None:
        self.index = index
        self.labels = labels
        self._decide = lru_cache(_DECISIONS)(lambda policy: policies.decide(index, policy))
        self._base = lru_cache(_DECISIONS)(self._count_base)

    def about(self) -> Answer:
        """The run: its size, its tags by how many clips carry them, its kinds of errors."""
        about, counts = self.index.about, self.index.tag_counts
        most = np.argsort(-counts, kind="stable")
        return {
            "run": visible(about.run),
            "clips": about.clips,
            "captions": int(self.index.has_caption.sum()),
            "tags": [[int(t), visible(about.tag_names[t]), int(counts[t])] for t in most],
            "errors": [visible(kind) for kind in about.errors],
            "strata": drawing.STRATA,
        }

    def view(self, view: View) -> Answer:
        """A page of rows, how many there are in all, and what the first policy makes of these."""
        first = self._decide(view.policy)
        second = self._decide(view.other) if view.other else None
        shown = filters.mask(self.index, self.labels, view.filter, first, second)
        cutoff = self._cutoff(view.policy, first)
        entries = filters.page(self.index, self.labels, view, shown, cutoff)
        return {
            "total": int(shown.sum()),
            "reasons": _reasons(first[shown]),
            "rows": self._rows(entries, view.policy, first),
        }

    def yields(self, asked: Yield) -> Answer:
        """What a policy accepts, its precision, and beside it another's."""
        first = self._decide(asked.policy)
        answer = {"first": self._outcome(asked.policy, first), "marks": len(self.labels)}
        if asked.other:
            second = self._decide(asked.other)
            answer["second"] = self._outcome(asked.other, second)
            answer["overlap"] = {
                name: {"captions": int(which.sum()), "precision": asdict(self._precision(which))}
                for name, which in filters.compared(first, second).items()
            }
        return answer

    def curve(self, policy: Policy) -> Answer:
        """Precision at each threshold on the policy's score, among what `per_clip` lets through."""
        thresholds, sizes, _ = self._base(policy.score, policy.per_clip)
        entries, good = self.labels.sample()
        remains = policies.remaining(self.index, policy)[entries]
        marked = self._counts_at(policy, thresholds, entries[remains])
        right = self._counts_at(policy, thresholds, entries[remains & good])
        estimates = map(precision.estimate, sizes, marked, right)
        return {
            "sampled": len(entries),
            "points": [
                {"threshold": float(at), "captions": int(size.sum()), **asdict(each)}
                for at, size, each in zip(thresholds, sizes, estimates, strict=True)
            ],
        }

    def mark(self, said: Verdict) -> Answer:
        """Take a mark, and say how the caption is marked now."""
        return {"mark": _told(self.labels.add(said))}

    def clip(self, clip: int) -> Answer:
        """All that is known of a clip, its evidence read again. Raises IndexError."""
        evidence = self.evidence(clip)
        tags, scores = evidence["tags"], evidence["tag_scores"] or [None] * len(evidence["tags"])
        return {
            "clip_id": visible(evidence["clip_id"]),
            "place": visible(evidence["uri"] or "no file"),
            "stretch": [_number(evidence["start_s"]), _number(evidence["end_s"])],
            "peak_dbfs": _number(evidence["peak_dbfs"]),
            "rms_dbfs": _number(evidence["rms_dbfs"]),
            "guidance": [visible(each) for each in evidence["guidance"]],
            "agreement": _number(evidence["scorer_agreement"]),
            "error": _error(evidence["error"]),
            "tags": [
                [
                    visible(tag["name"]),
                    _number(tag["confidence"]),
                    visible(tag["origin"]),
                    _number(s),
                ]
                for tag, s in zip(tags, scores, strict=True)
            ],
            "methods": [visible(each["method"]) for each in evidence["candidates"]],
        }

    def evidence(self, clip: int) -> Answer:
        """A clip's row of evidence, without its embedding. Raises IndexError."""
        if not 0 <= clip < self.index.about.clips:
            raise IndexError(clip)
        shard = int(self.index.columns["shard"][clip])
        rows = sink.read_shard(self.index.about.run, shard, _OF_A_CLIP)
        row: Answer = rows.slice(int(self.index.columns["row"][clip]), 1).to_pylist()[0]
        return row

    def _rows(self, entries: np.ndarray, policy: Policy, reasons: np.ndarray) -> list[Answer]:
        index = self.index
        clips = index.columns["clip"][entries]
        captions = index.captions.take(entries).to_pylist()
        clip_ids = index.clip_ids.take(clips).to_pylist()
        return [
            {
                "entry": int(entry),
                "clip": int(clip),
                "clip_id": visible(clip_id),
                "candidate": int(index.columns["candidate"][entry]),
                "caption": visible(caption),
                "scores": {name: _number(index.score(name)[entry]) for name in SCORES},
                "second_score": _number(index.columns["second_score"][entry]),
                "rank": int(index.columns[f"rank_{policy.score}"][entry]),
                "reason": REASONS[reasons[entry]],
                "error": self._error_of(clip),
                "tags": [visible(tag) for tag in index.tags_of(clip)],
                "mark": _told(self.labels.of(int(entry))),
            }
            for entry, clip, caption, clip_id in zip(
                entries, clips, captions, clip_ids, strict=True
            )
        ]

    def _error_of(self, clip: int) -> str | None:
        kind = self.index.columns["error"][clip]
        return visible(self.index.about.errors[kind]) if kind >= 0 else None

    def _outcome(self, policy: Policy, reasons: np.ndarray) -> Answer:
        accepted = reasons == policies.ACCEPTED
        thresholds, _, histogram = self._base(policy.score, policy.per_clip)
        span = (thresholds[0], thresholds[-1])
        taken = np.histogram(self.index.score(policy.score)[accepted], _BINS, span)[0]
        clips = np.zeros(self.index.about.clips, bool)
        clips[self.index.columns["clip"][accepted]] = True
        return {
            "reasons": _reasons(reasons),
            "clips": int(clips.sum()),
            "cutoff": self._cutoff(policy, reasons),
            "lowest": float(span[0]),
            "highest": float(span[1]),
            "histogram": histogram.tolist(),
            "accepted": taken.tolist(),
            "precision": asdict(self._precision(accepted)),
        }

    def _cutoff(self, policy: Policy, reasons: np.ndarray) -> float | None:
        if policy.min_score is not None:
            return policy.min_score
        accepted = reasons == policies.ACCEPTED
        return float(self.index.score(policy.score)[accepted].min()) if accepted.any() else None

    def _precision(self, which: np.ndarray) -> precision.Estimate:
        stratum = self.index.columns["stratum"]
        entries, good = self.labels.sample()
        inside = which[entries]
        counted = [stratum[which], stratum[entries[inside]], stratum[entries[inside & good]]]
        return precision.estimate(
            *(np.bincount(each, minlength=drawing.STRATA) for each in counted)
        )

    def _count_base(self, score: str, per_clip: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Thresholds, sizes at each `[thresholds, strata]`, and the histogram before any."""
        policy = Policy(score=score, per_clip=per_clip)
        remains = np.flatnonzero(policies.remaining(self.index, policy))
        values = self.index.score(policy.score)[remains]
        lowest, highest = (values.min(), values.max()) if len(values) else (0.0, 1.0)
        thresholds = np.linspace(lowest, max(highest, lowest + 1e-6), _THRESHOLDS)
        sizes = self._counts_at(policy, thresholds, remains)
        histogram = np.histogram(values, _BINS, (thresholds[0], thresholds[-1]))[0]
        return thresholds, sizes, histogram

    def _counts_at(self, policy: Policy, thresholds: np.ndarray, entries: np.ndarray) -> np.ndarray:
        score = self.index.score(policy.score)[entries]
        stratum = self.index.columns["stratum"][entries]
        return precision.counts_at(thresholds, score, stratum, drawing.STRATA)


def _reasons(reasons: np.ndarray) -> dict[str, int]:
    counted = np.bincount(reasons, minlength=len(REASONS))
    return dict(zip(REASONS, counted.tolist(), strict=True))


def _number(value: float | None) -> float | None:
    """For JSON, which has no NaN."""
    return float(value) if value is not None and math.isfinite(value) else None


def _error(error: dict[str, str] | None) -> str | None:
    if error is None:
        return None
    return visible(f"{error['stage']}/{error['type']}: {error['message']}")


def _told(mark: Mark | None) -> Answer | None:
    if mark is None:
        return None
    return {
        "verdict": mark.verdict,
        "corrected": visible(mark.corrected or ""),
        "marker": visible(mark.marker),
    }
