"""Judging a run: shares of right captions before and after filters, against a small truth."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from curation.demo import accuracy
from curation.run import evidence
from curation.run.layout import RunFolder
from curation.schema import EVIDENCE_SCHEMA
from curation.select import policy
from curation.synth.negatives import make_hard_negatives
from curation.synth.scenes import make_scene


@pytest.fixture
def judged(tmp_path: Path) -> accuracy.GradedRun:
    """20 clips of two candidates: the beam right in every second clip, the sample never.

    CLAP scores rank right captions first; log-probabilities rank them last.
    """
    rows, truth = [], {}
    for index in range(20):
        scene = make_scene(3, index)
        wrong = make_hard_negatives(scene, np.random.default_rng(index), 2)
        right = index % 2 == 0
        clip_id = f"clip{index:07d}_0"
        truth[clip_id[:11]] = scene
        captions = [(scene.captions[0] if right else wrong[0], "beam"), (wrong[1], "sample")]
        rows.append(
            {
                "clip_id": clip_id,
                "tags": [],
                "guidance": [],
                "candidates": [
                    {
                        "caption": caption,
                        "method": method,
                        "log_prob": (-2.0 if right else -1.0) - place - index / 100,
                        "clap_score": (0.9 if right else 0.5) - place - index / 100,
                    }
                    for place, (caption, method) in enumerate(captions)
                ],
                "outcome": "ok",
            }
        )
    evidence.write_evidence_shard(
        RunFolder(str(tmp_path)), 0, pa.Table.from_pylist(rows, schema=EVIDENCE_SCHEMA)
    )
    return accuracy.grade_run(RunFolder(str(tmp_path)), truth)


def test_shares_before_and_after_each_filter(judged: accuracy.GradedRun) -> None:
    shares = accuracy.accuracy_shares(judged)
    assert shares.keys() == {"beam", *accuracy.FILTERS}
    assert shares["beam"] == shares["best by CLAP"] == 0.5
    assert shares["half by CLAP"] == 1.0
    assert shares["half by log-prob"] == 0.0


def test_relations_share_out_the_whole(judged: accuracy.GradedRun) -> None:
    shares = accuracy.accuracy_by_relation(judged)
    counts = {name: (judged.beam & (judged.relation == name)).sum() for name in shares}
    whole = sum(shares[name]["beam"] * counts[name] for name in shares if counts[name])
    assert whole == pytest.approx(0.5 * 20)


def test_the_auc_is_one_for_a_perfect_score_and_none_for_its_opposite(
    judged: accuracy.GradedRun,
) -> None:
    candidates: policy.Candidates = judged.candidates
    assert accuracy.filter_auc(judged, candidates.clap_score) == 1.0
    assert accuracy.filter_auc(judged, candidates.log_prob) == 0.0
    assert accuracy.filter_auc(judged, np.zeros(40)) == 0.5
