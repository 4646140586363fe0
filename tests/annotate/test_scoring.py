"""The score stage: cosines by one scorer or two, each clip embedded once, each failing alone."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from curation.annotate import scoring, stages
from curation.models.captioners.base import Candidate
from curation.models.scorers.dual_encoder import DualEncoderScorer
from curation.schema import Failure
from curation.stats import spearman
from tests.fakes import FixedScorer

RATE = 16000


def captioned(*captions: str) -> stages.Clip:
    clip = stages.Clip("-".join(captions), "/a.wav", None, None, [])
    clip.waveforms[RATE] = np.zeros(RATE, dtype=np.int16)
    clip.candidates = [Candidate(caption, "beam", -1.0) for caption in captions]
    return clip


def cosine(caption: str, sound: tuple[float, float] = (0.6, 0.8)) -> float:
    return sound[0] * np.sin(len(caption) * 0.1) + sound[1] * np.cos(len(caption) * 0.1)


def test_scores_are_cosines_and_a_failed_embedding_fails_its_clip_alone() -> None:
    batch = [captioned("a dog"), captioned("a cat", "rain falls")]
    scoring.score(FixedScorer(failing="first"), batch)
    assert batch[0].failure == Failure("score", "odd", "cannot embed this one")
    expected = [cosine("a cat"), cosine("rain falls")]
    assert batch[1].clap_scores == pytest.approx(expected)
    rows = stages.evidence(batch).to_pylist()
    assert [row["outcome"] for row in rows] == ["error", "ok"]
    assert rows[0]["candidates"] == []
    assert [c["clap_score"] for c in rows[1]["candidates"]] == pytest.approx(expected)
    assert {c["second_score"] for c in rows[1]["candidates"]} == {None}
    assert rows[1]["scorer_agreement"] is None


@pytest.mark.parametrize("second", [False, True])
def test_a_caption_whose_embedding_is_not_finite_fails_its_clip_alone(second: bool) -> None:
    batch = [captioned("a dog", "rain falls"), captioned("a cat")]
    if second:
        scoring.score(FixedScorer(), batch)
        scoring.score_again(FixedScorer(failing="rain falls"), batch)
    else:
        scoring.score(FixedScorer(failing="rain falls"), batch)
    failures = [clip.failure and (clip.failure.stage, clip.failure.type) for clip in batch]
    assert failures == [("score", "not_finite"), None]


def test_captions_that_cannot_be_embedded_fail_their_clips() -> None:
    batch = [captioned("a dog"), captioned("a cat")]
    scoring.score(FixedScorer(failing="text"), batch)
    assert [clip.failure for clip in batch] == [Failure("score", "RuntimeError", "broken")] * 2


def test_a_clip_is_embedded_once_however_often_it_is_scored() -> None:
    clip, scorer = captioned("a dog"), FixedScorer()
    scoring.embed(scorer, [clip])
    scoring.score(scorer, [clip])
    clip.candidates.append(Candidate("rain falls", "sample", -2.0))
    scoring.score(scorer, [clip])
    assert clip.clap_scores == pytest.approx([cosine("a dog"), cosine("rain falls")])
    assert scorer.embedded == 1


def test_clips_below_are_those_whose_best_candidate_is() -> None:
    clips = [captioned(name) for name in "abc"]
    for clip, scores in zip(clips, ([0.1, 0.4], [0.2, 0.3], [0.1]), strict=True):
        clip.clap_scores = scores
    clips[2].failure = Failure("score", "odd", "odd")
    assert scoring.below(clips, 0.4) == [clips[1]]


def test_a_second_scorer_leaves_the_first_ones_scores_and_embedding() -> None:
    batch = [captioned("a", "rain", "rain and wind"), captioned("a dog")]
    first, second = (0.6, 0.8), (-1.0, 0.0)
    scoring.score(FixedScorer(first), batch)
    scoring.score_again(FixedScorer(second), batch)
    rows = stages.evidence(batch).to_pylist()
    for row, clip in zip(rows, batch, strict=True):
        captions = [candidate.caption for candidate in clip.candidates]
        for name, sound in (("clap_score", first), ("second_score", second)):
            scores = [candidate[name] for candidate in row["candidates"]]
            assert scores == pytest.approx([cosine(caption, sound) for caption in captions])
        assert row["audio_embedding"] == pytest.approx(first, abs=1e-3)
    # Towards longer captions the first one's scores rise and fall, the second one's fall.
    assert rows[0]["scorer_agreement"] == pytest.approx(0.5)
    assert rows[1]["scorer_agreement"] is None


def test_a_clip_that_the_second_scorer_cannot_hear_fails() -> None:
    batch = [captioned("a dog"), captioned("a cat")]
    scoring.score(FixedScorer(), batch)
    scoring.score_again(FixedScorer(failing="first"), batch)
    assert [clip.failure is None for clip in batch] == [False, True]


@pytest.mark.parametrize("candidates", [2, 3, 8])
def test_agreement_is_spearmans_correlation_ties_included(candidates: int) -> None:
    random = np.random.default_rng(candidates)
    for _ in range(20):
        first, second = random.integers(0, 4, (2, candidates)) / 4
        found = spearman(first, second)
        if len(set(first)) == 1 or len(set(second)) == 1:
            assert found is None
        else:
            assert found == pytest.approx(spearmanr(first, second).statistic)


def test_one_candidate_or_none_agrees_with_nothing() -> None:
    assert spearman([0.5], [0.4]) is None
    assert spearman([], []) is None


def test_two_real_scorers_that_are_one_agree() -> None:
    clip = captioned("a dog barking", "rain falling", "a man speaking")
    scorer = DualEncoderScorer()
    noise = np.random.default_rng(0).normal(size=2 * scorer.sample_rate_hz)
    clip.waveforms = {scorer.sample_rate_hz: (noise * 3000).astype(np.int16)}
    scoring.score(scorer, [clip])
    scoring.score_again(scorer, [clip])
    assert clip.second_scores == clip.clap_scores
    assert clip.agreement == pytest.approx(1.0)
