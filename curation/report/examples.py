"""Reads the example clips of the report, with all their data and their sound."""

import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow.compute as pc

from curation.report import media
from curation.report.media import ClipMedia
from curation.report.sampling import SampledClip
from curation.report.scores import CandidateScores
from curation.run import evidence as run_evidence
from curation.run.layout import RunFolder
from curation.storage.files import Storage

_THREADS = 4


@dataclass(frozen=True)
class ExampleCandidate:
    """A caption of an example clip, with its scores and the decision on it.

    `second_score` is None without a second scorer. `log_prob` is None if the captioner returns
    none. `score`, the policy's score, is None if there is no decision.
    """

    caption: str
    method: str
    log_prob: float | None
    clap_score: float
    second_score: float | None
    score: float | None
    reason: str


@dataclass(frozen=True)
class Example:
    """An example clip: its row of evidence, and its candidates in the order of the policy."""

    stratum: str
    row: dict[str, Any]
    candidates: list[ExampleCandidate]

    @property
    def tags(self) -> list[dict[str, Any]]:
        """The clip's tags, with CLAP scores if tags were verified."""
        scores = self.row["tag_scores"] or [None] * len(self.row["tags"])
        return [{**tag, "score": s} for tag, s in zip(self.row["tags"], scores, strict=True)]


@dataclass(frozen=True)
class CandidateColumn:
    """One column of the table of candidates."""

    name: str
    field: str
    format: str
    meaning: str

    def format_value(self, candidate: ExampleCandidate) -> str:
        value = getattr(candidate, self.field)
        return "" if value is None else self.format.format(value)


_COLUMNS = (
    CandidateColumn(
        "CLAP", "clap_score", "{:.3f}", "how well caption and sound agree, by the scorer's cosine"
    ),
    CandidateColumn("second", "second_score", "{:.3f}", "the same by the second scorer"),
    CandidateColumn(
        "log-prob",
        "log_prob",
        "{:.2f}",
        "how likely the captioner itself thought the caption, the mean of a token",
    ),
    CandidateColumn(
        "policy's score", "score", "{:.3f}", "what captions were ranked and filtered by"
    ),
)


def candidate_columns(
    examples: Sequence[Example], policy: Mapping[str, Any]
) -> list[CandidateColumn]:
    """Choose the columns that have a value and do not repeat another column."""
    candidates = [candidate for example in examples for candidate in example.candidates]
    own_score = policy.get("score", "clap") != "clap"
    return [
        column
        for column in _COLUMNS
        if any(column.format_value(candidate) for candidate in candidates)
        and (own_score or column.field != "score")
    ]


def read_examples(
    run: RunFolder, drawn: Sequence[SampledClip], scores: CandidateScores
) -> list[Example]:
    """Read the sampled clips, in order; each shard is read once."""
    numbers = sorted({each.shard for each in drawn})
    found: dict[SampledClip, Example] = {}
    for number, evidence in zip(
        numbers, run_evidence.read_evidence_shards(run, numbers), strict=True
    ):
        clip = pc.list_parent_indices(evidence["candidates"].combine_chunks()).to_numpy()
        for each in (each for each in drawn if each.shard == number):
            [row] = evidence.slice(each.row, 1).to_pylist()
            places = np.flatnonzero(clip == each.row).tolist()
            candidates = [
                ExampleCandidate(**candidate, **_decision(scores, number, place))
                for candidate, place in zip(row["candidates"], places, strict=True)
            ]
            candidates.sort(key=lambda one: -(one.clap_score if one.score is None else one.score))
            found[each] = Example(each.stratum, row, candidates)
    return [found[each] for each in drawn]


def load_example_media(storage: Storage, examples: Sequence[Example]) -> Iterator[ClipMedia]:
    """Load the sound of each example, in order; a few are loaded ahead."""
    with ThreadPoolExecutor(_THREADS) as pool:
        for start in range(0, len(examples), 2 * _THREADS):
            few = examples[start : start + 2 * _THREADS]
            yield from pool.map(
                partial(media.load_clip_media, storage), [example.row for example in few]
            )


def _decision(scores: CandidateScores, shard: int, candidate: int) -> dict[str, Any]:
    score, reason = scores.of(shard, candidate)
    return {"score": None if math.isnan(score) else score, "reason": reason}
