"""The score stage: cosines by one scorer or two, each clip embedded once, each failing alone."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr

from curation.annotate import scoring
from curation.annotate.batching import OomThreshold
from curation.annotate.clip import AnnotatedClip
from curation.annotate.embedding import add_embeddings
from curation.annotate.rows import build_evidence_table
from curation.models.captioners.base import Candidate
from curation.models.scorers.dual_encoder import DualEncoderScorer
from curation.schema import Failure
from curation.stats import spearman
from tests.fakes import FixedScorer
from tests.support.clips import RATE_HZ, loaded_clip


def captioned(*captions: str, waveform: np.ndarray | None = None) -> AnnotatedClip:
    waveform = np.zeros(RATE_HZ, dtype=np.int16) if waveform is None else waveform
    clip = loaded_clip("-".join(captions), {RATE_HZ: waveform})
    return replace(clip, candidates=[Candidate(caption, "beam", -1.0) for caption in captions])


def clap_scores(clip: AnnotatedClip) -> list[float | None]:
    return [candidate.clap_score for candidate in clip.candidates]


def cosine(caption: str, sound: tuple[float, float] = (0.6, 0.8)) -> float:
    return sound[0] * np.sin(len(caption) * 0.1) + sound[1] * np.cos(len(caption) * 0.1)


def test_scores_are_cosines_and_a_failed_embedding_fails_its_clip_alone() -> None:
    batch = [captioned("a dog"), captioned("a cat", "rain falls")]
    batch = scoring.score_clips(FixedScorer(failing="first"), batch)
    assert batch[0].failure == Failure("score", "odd", "cannot embed this one")
    expected = [cosine("a cat"), cosine("rain falls")]
    assert clap_scores(batch[1]) == pytest.approx(expected)
    rows = build_evidence_table(batch).to_pylist()
    assert [row["outcome"] for row in rows] == ["error", "ok"]
    assert rows[0]["candidates"] == []
    assert [c["clap_score"] for c in rows[1]["candidates"]] == pytest.approx(expected)
    assert {c["second_score"] for c in rows[1]["candidates"]} == {None}
    assert rows[1]["scorer_agreement"] is None


@pytest.mark.parametrize("second", [False, True])
def test_a_caption_whose_embedding_is_not_finite_fails_its_clip_alone(second: bool) -> None:
    batch = [captioned("a dog", "rain falls"), captioned("a cat")]
    if second:
        batch = scoring.score_clips(FixedScorer(), batch)
        batch = scoring.score_clips_again(FixedScorer(failing="rain falls"), batch)
    else:
        batch = scoring.score_clips(FixedScorer(failing="rain falls"), batch)
    failures = [clip.failure and (clip.failure.stage, clip.failure.kind) for clip in batch]
    assert failures == [("score", "not_finite"), None]


def test_captions_that_cannot_be_embedded_fail_their_clips() -> None:
    batch = [captioned("a dog"), captioned("a cat")]
    batch = scoring.score_clips(FixedScorer(failing="text"), batch)
    assert [clip.failure for clip in batch] == [Failure("score", "RuntimeError", "broken")] * 2


def test_a_clip_is_embedded_once_however_often_it_is_scored() -> None:
    clip, scorer = captioned("a dog"), FixedScorer()
    [clip] = add_embeddings(scorer, [clip], OomThreshold())
    [clip] = scoring.score_clips(scorer, [clip])
    second = Candidate("rain falls", "sample", -2.0)
    [clip] = scoring.score_clips(scorer, [replace(clip, candidates=[*clip.candidates, second])])
    assert clap_scores(clip) == pytest.approx([cosine("a dog"), cosine("rain falls")])
    assert scorer.embedded == 1


def test_clips_below_are_those_whose_best_candidate_is() -> None:
    def scored(*scores: float) -> AnnotatedClip:
        candidates = [Candidate(f"{score}", "beam", None, clap_score=score) for score in scores]
        return replace(captioned("a"), candidates=candidates)

    clips = [scored(0.1, 0.4), scored(0.2, 0.3), scored(0.1)]
    clips[2] = replace(clips[2], failure=Failure("score", "odd", "odd"))
    assert [scoring.is_below(clip, 0.4) for clip in clips] == [False, True, False]


def test_a_second_scorer_leaves_the_first_ones_scores_and_embedding() -> None:
    batch = [captioned("a", "rain", "rain and wind"), captioned("a dog")]
    first, second = (0.6, 0.8), (-1.0, 0.0)
    batch = scoring.score_clips(FixedScorer(first), batch)
    batch = scoring.score_clips_again(FixedScorer(second), batch)
    rows = build_evidence_table(batch).to_pylist()
    for row, clip in zip(rows, batch, strict=True):
        captions = [candidate.caption for candidate in clip.candidates]
        for name, sound in (("clap_score", first), ("second_score", second)):
            scores = [candidate[name] for candidate in row["candidates"]]
            assert scores == pytest.approx([cosine(caption, sound) for caption in captions])
        assert row["audio_embedding"] == pytest.approx(first, abs=1e-3)
    # Towards longer captions the first one's scores rise and fall, the second one's fall.
    assert rows[0]["scorer_agreement"] == pytest.approx(0.5)
    assert rows[1]["scorer_agreement"] is None


def test_a_clip_that_the_second_scorer_cannot_embed_fails() -> None:
    batch = [captioned("a dog"), captioned("a cat")]
    batch = scoring.score_clips(FixedScorer(), batch)
    batch = scoring.score_clips_again(FixedScorer(failing="first"), batch)
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
    scorer = DualEncoderScorer()
    assert scorer.sample_rate_hz == RATE_HZ
    noise = np.random.default_rng(0).normal(size=2 * RATE_HZ)
    captions = ("a dog barking", "rain falling", "a man speaking")
    batch = [captioned(*captions, waveform=(noise * 3000).astype(np.int16))]
    batch = scoring.score_clips(scorer, batch)
    [clip] = scoring.score_clips_again(scorer, batch)
    assert [candidate.second_score for candidate in clip.candidates] == clap_scores(clip)
    assert clip.agreement == pytest.approx(1.0)
