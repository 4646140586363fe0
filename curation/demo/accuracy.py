"""Computes the share of right captions of a procedural corpus, before and after filters.

The content of each clip is known, so each caption can be graded. Selection does not use the grades.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from curation.config.policy import Policy
from curation.demo.grading import grade_caption
from curation.run import evidence as run_evidence
from curation.run.layout import RunFolder
from curation.schema import OK
from curation.select import policy as select_policy
from curation.stats import auc
from curation.synth.scenes import Scene

BEAM = "beam"
TOP_FRACTION = 0.5
# The captions that stand before any filter, and what each filter makes of the same evidence.
FILTERS = {
    "best by CLAP": Policy(),
    "half by CLAP": Policy(top_fraction=TOP_FRACTION),
    "half by log-prob": Policy(score="log_prob", top_fraction=TOP_FRACTION),
    "half by both": Policy(score="combined", top_fraction=TOP_FRACTION),
}


@dataclass(frozen=True)
class GradedRun:
    """All candidates of a run and their grades. Each array has the shape `[candidates]`."""

    candidates: select_policy.Candidates
    right: np.ndarray
    beam: np.ndarray
    relation: np.ndarray


def grade_run(run: RunFolder, truth: dict[str, Scene]) -> GradedRun:
    """Grade every candidate of a run over a procedural corpus.

    Args:
        run: the folder of the run.
        truth: the scene of each clip by its YouTube id (`corpus.read_corpus_truth`).
    """
    shards = run_evidence.list_done_shards(run)
    columns = ["clip_id", "candidates", "outcome"]
    evidence = pa.concat_tables(run_evidence.read_evidence_shards(run, shards, columns))
    rows = [row for row in evidence.to_pylist() if row["outcome"] == OK]
    flat = [(index, candidate) for index, row in enumerate(rows) for candidate in row["candidates"]]
    scenes = [truth[row["clip_id"][:11]] for row in rows]
    return GradedRun(
        candidates=select_policy.Candidates(
            clip=np.array([index for index, _ in flat]),
            clap_score=np.array([c["clap_score"] for _, c in flat]),
            second_score=np.array([c["second_score"] for _, c in flat], dtype=np.float64),
            log_prob=np.array([c["log_prob"] for _, c in flat]),
            clip_tag=np.zeros(len(rows), dtype=np.int64),
        ),
        right=np.array([grade_caption(c["caption"], scenes[index]).all_right for index, c in flat]),
        beam=np.array([c["method"] == BEAM for _, c in flat]),
        relation=np.array([scenes[index].relation for index, _ in flat]),
    )


def accuracy_shares(graded: GradedRun, among: np.ndarray | None = None) -> dict[str, float]:
    """Compute the share of right captions before and after each filter; NaN if no caption is left.

    The filters apply to the whole run. `among` (bool `[candidates]`) selects the captions to count.
    """
    counted = np.ones(len(graded.right), bool) if among is None else among
    kept = {"beam": graded.beam} | {
        name: select_policy.decide(graded.candidates, policy).accepted
        for name, policy in FILTERS.items()
    }
    return {name: _share(graded.right[mask & counted]) for name, mask in kept.items()}


def accuracy_by_relation(graded: GradedRun) -> dict[str, dict[str, float]]:
    """Compute `accuracy_shares` separately for the clips of each relation between sounds."""
    relations = ("single", "then", "background")
    return {name: accuracy_shares(graded, graded.relation == name) for name in relations}


def filter_auc(graded: GradedRun, score: np.ndarray) -> float:
    """Compute the probability that a right beam caption has a higher score than a wrong one.

    A tie counts half.
    """
    return auc(score[graded.beam & graded.right], score[graded.beam & ~graded.right])


def _share(right: np.ndarray) -> float:
    return float(right.mean()) if len(right) else float("nan")
