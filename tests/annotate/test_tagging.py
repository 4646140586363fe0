"""The tag stage: what a tagger adds, how a tag sounds, and which of them guide a caption."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curation.annotate import metrics, tagging
from curation.annotate.clip import AnnotatedClip
from curation.annotate.task import Task
from curation.annotate.workers import CaptionWorker, DecodeWorker, FusedWorker, ScoreWorker
from curation.cli import show
from curation.config.models import TaggerConfig
from curation.config.run import AdaptiveConfig, RunConfig
from curation.estimate import sample
from curation.models.scorers.dual_encoder import DualEncoderScorer
from curation.models.taggers.build import build_tagger
from curation.run import catalog_plan
from curation.run import evidence as run_evidence
from curation.run.layout import RunFolder
from curation.schema import Failure, Tag
from curation.tags.guidance import class_phrase, select_guidance_tags
from tests.support import tiny_taggers
from tests.support.clips import loaded_clip
from tests.support.runs import corpus_run

DOG, BARK, RAIN = Tag("/m/0bt9lr", "Dog"), Tag("/m/05tny_", "Bark", 0.7), Tag("/m/06mb1", "Rain")
CLIPS = 40
MIN_SCORE = 0.2
PLACEMENTS = {"fused": [FusedWorker], "separate": [DecodeWorker, CaptionWorker, ScoreWorker]}


@pytest.fixture(scope="module")
def ast(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The section of a tagger that puts three tags on every clip."""
    folder = tmp_path_factory.mktemp("ast")
    tiny_taggers.ast(folder)
    return {"model": str(folder), "dtype": "float32", "top_k": 3, "threshold": 0.0}


@pytest.fixture(scope="module")
def scorer() -> DualEncoderScorer:
    return DualEncoderScorer()


def noise(*rates_hz: int, tags: tuple[Tag, ...] = (), seed: int = 0) -> AnnotatedClip:
    """A second of noise at several rates."""
    waveforms = {}
    for rate in rates_hz:
        sound = np.random.default_rng(seed).normal(size=rate) * 3000
        waveforms[rate] = sound.astype(np.int16)
    return loaded_clip(f"noise{seed}", waveforms, tags)


def test_predicted_tags_replace_the_given_or_follow_them(ast: dict[str, Any]) -> None:
    tagger = build_tagger(TaggerConfig(**ast))
    alone, both = noise(16000, tags=(DOG,)), noise(16000, tags=(DOG,))
    [alone] = tagging.tag_clips(tagger, [alone], keep_given=False)
    assert len(alone.tags) == 3 and {tag.origin for tag in alone.tags} == {"predicted"}
    [both] = tagging.tag_clips(tagger, [both], keep_given=True)
    assert both.tags == [DOG, *alone.tags]


def test_a_given_tag_is_not_predicted_beside_itself(ast: dict[str, Any]) -> None:
    tagger = build_tagger(TaggerConfig(**ast))
    clip = noise(16000)
    [clip] = tagging.tag_clips(tagger, [clip], keep_given=False)
    first, second, third = clip.tags
    given = Tag(second.mid, second.name)
    again = noise(16000, tags=(given,))
    [again] = tagging.tag_clips(tagger, [again], keep_given=True)
    assert again.tags == [given, first, third]


def test_a_clip_that_cannot_be_tagged_fails_alone(ast: dict[str, Any]) -> None:
    tagger = build_tagger(TaggerConfig(**ast))
    empty = loaded_clip("empty", {16000: np.zeros(0, np.int16)})
    batch = tagging.tag_clips(tagger, [empty, noise(16000)], keep_given=False)
    assert batch[0].failure == Failure("tag", "empty", "no samples")
    assert batch[1].failure is None and len(batch[1].tags) == 3


def test_a_tags_score_is_the_cosine_of_its_phrase(scorer: DualEncoderScorer) -> None:
    clip = noise(scorer.sample_rate_hz, tags=(DOG, BARK, RAIN))
    [clip] = tagging.TagVerifier(scorer).verify([clip])
    phrases = scorer.embed_text(["a dog", "a dog barking", "rain"])
    assert clip.embedding is not None
    assert clip.tag_scores == pytest.approx((phrases @ clip.embedding).tolist(), abs=1e-6)


def test_a_tags_score_does_not_depend_on_what_was_verified_before(
    scorer: DualEncoderScorer,
) -> None:
    clips = [noise(scorer.sample_rate_hz, tags=(RAIN,)) for _ in range(2)]
    [first] = tagging.TagVerifier(scorer).verify(clips[:1])
    later = tagging.TagVerifier(scorer)
    later.verify([noise(scorer.sample_rate_hz, tags=(DOG, BARK), seed=1)])
    [second] = later.verify(clips[1:])
    assert first.tag_scores == second.tag_scores


def test_a_clip_without_tags_is_verified_and_one_that_failed_is_not(
    scorer: DualEncoderScorer,
) -> None:
    untagged, failed = noise(scorer.sample_rate_hz), noise(scorer.sample_rate_hz, tags=(DOG,))
    failed = replace(failed, failure=Failure("tag", "odd", "failed before"))
    untagged, failed = tagging.TagVerifier(scorer).verify([untagged, failed])
    assert (untagged.tag_scores, failed.tag_scores) == ([], None)
    assert untagged.embedding is not None and failed.embedding is None


def test_tags_that_sound_wrong_do_not_guide() -> None:
    clip = noise(tags=(DOG, BARK, RAIN))
    clip = tagging.add_guidance(clip, min_confidence=0.0)
    assert clip.guidance == [RAIN, BARK]
    clip = replace(clip, tag_scores=[0.5, 0.3, 0.1])
    clip = tagging.add_guidance(clip, min_confidence=0.0, min_score=0.2)
    assert clip.guidance == [BARK]
    # Where the leaf sounds wrong, the class above it is still a guess.
    clip = replace(clip, tag_scores=[0.5, 0.1, 0.1])
    clip = tagging.add_guidance(clip, min_confidence=0.0, min_score=0.2)
    assert clip.guidance == [DOG]


def tagged_run(corpus: Path, folder: Path, ast: dict[str, Any], placement: str) -> RunConfig:
    """A run in one shard: tags given, predicted and verified, captions scored by two scorers."""
    return corpus_run(
        corpus,
        folder,
        tags={"use": "both", "tagger": ast, "verify": {"min_score": MIN_SCORE}},
        second_scorer={"model": "reference"},
        annotate={"shard_clips": CLIPS, "placement": placement},
        select={"min_second_score": 0.0},
    )


def annotated(run: RunConfig, tally: metrics.InMemoryMeter) -> list[dict[str, Any]]:
    """The evidence of a run's one shard, by its workers in this process."""
    catalog_plan.create_plan(run)
    row = {"task": Task(0, CLIPS).to_json()}
    for worker in PLACEMENTS[run.annotate.placement]:
        row = worker(run, lambda: tally)(row)
    assert row["error"] == ""
    return run_evidence.read_evidence_shard(RunFolder.from_config(run), 0).to_pylist()


@pytest.fixture(scope="module")
def fused(corpus: Path, ast: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    return tagged_run(corpus, tmp_path_factory.mktemp("fused") / "run", ast, "fused")


@pytest.fixture(scope="module")
def tally() -> metrics.InMemoryMeter:
    return metrics.InMemoryMeter()


@pytest.fixture(scope="module")
def evidence(fused: RunConfig, tally: metrics.InMemoryMeter) -> list[dict[str, Any]]:
    return annotated(fused, tally)


def test_evidence_has_every_tags_origin_and_score(
    evidence: list[dict[str, Any]], scorer: DualEncoderScorer
) -> None:
    assert {row["outcome"] for row in evidence} == {"ok"}
    for row in evidence:
        origins = [tag["origin"] for tag in row["tags"]]
        assert origins == sorted(origins) and 1 <= origins.count("predicted") <= 3
        texts = scorer.embed_text([class_phrase(tag["mid"]) for tag in row["tags"]])
        # The embedding is kept in half precision.
        expected = texts @ np.array(row["audio_embedding"])
        np.testing.assert_allclose(row["tag_scores"], expected, atol=2e-3)


def test_captions_are_guided_by_the_tags_that_sound_right(evidence: list[dict[str, Any]]) -> None:
    accepted = dropped = 0
    for row in evidence:
        tags = [Tag(**tag) for tag in row["tags"]]
        scored = zip(tags, row["tag_scores"], strict=True)
        right = [tag for tag, score in scored if score >= np.float32(MIN_SCORE)]
        assert row["guidance"] == [class_phrase(tag.mid) for tag in select_guidance_tags(right)]
        accepted, dropped = accepted + len(right), dropped + len(tags) - len(right)
    assert accepted and dropped, "no tag was dropped, or all were"


def test_evidence_has_the_scores_of_a_second_scorer(evidence: list[dict[str, Any]]) -> None:
    for row in evidence:
        first, second = (
            [candidate[name] for candidate in row["candidates"]]
            for name in ("clap_score", "second_score")
        )
        assert second == pytest.approx(first, abs=1e-6)
        varied = len(set(first)) > 1
        assert row["scorer_agreement"] == (pytest.approx(1.0) if varied else None)


def test_the_pools_write_the_same_evidence(
    corpus: Path, ast: dict[str, Any], evidence: list[dict[str, Any]], tmp_path: Path
) -> None:
    separate = tagged_run(corpus, tmp_path / "run", ast, "separate")
    assert annotated(separate, metrics.InMemoryMeter()) == evidence


def test_tagging_is_a_stage_of_its_own(
    evidence: list[dict[str, Any]], tally: metrics.InMemoryMeter
) -> None:
    seconds = {s: tally.values(metrics.STAGE_SECONDS, stage=s) for s in ("tag", "caption", "score")}
    batches = len(seconds["caption"])
    # The tagger's turn and the verification's; the turns of both scorers.
    assert [len(each) for each in seconds.values()] == [2 * batches, batches, 2 * batches]


def test_show_prints_scores_of_tags_and_of_the_second_scorer(
    fused: RunConfig, evidence: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    show.print_clip(RunFolder.from_config(fused), evidence[0]["clip_id"])
    shown = capsys.readouterr().out
    tag, score = evidence[0]["tags"][-1], evidence[0]["tag_scores"][-1]
    assert f"{tag['name']} ({tag['confidence']:.2f}, predicted, score {score:.3f})" in shown
    assert "scorer_agreement" in shown and "second_score" in shown
    assert "tag_scores" not in shown


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_a_sample_measures_tagging(
    placement: str, corpus: Path, ast: dict[str, Any], tmp_path: Path
) -> None:
    run = tagged_run(corpus, tmp_path / "run", ast, placement)
    catalog_plan.create_plan(run)
    taken = sample.measure_run(run, 10)
    assert taken.ok == 10 and len(taken.tag_s) >= 2 and (taken.tag_s > 0).all()
    # The veto at 0 leaves some captions, or all.
    assert 0 < taken.accepted <= 10


def test_true_tags_outscore_wrong_ones(evidence: list[dict[str, Any]]) -> None:
    """The reference CLAP tells the tags that people gave, noise included, from random ones."""
    scores: dict[str, list[float]] = {"human": [], "predicted": []}
    for row in evidence:
        for tag, score in zip(row["tags"], row["tag_scores"], strict=True):
            scores[tag["origin"]].append(score)
    right, wrong = (np.array(each) for each in scores.values())
    assert (right[:, None] > wrong).mean() > 0.65


@pytest.mark.parametrize("model_memory", ["resident", "offload"])
def test_candidates_drawn_later_are_scored_by_both_scorers(
    model_memory: str, corpus: Path, ast: dict[str, Any], tmp_path: Path
) -> None:
    run = tagged_run(corpus, tmp_path / "run", ast, "fused")
    adaptive = AdaptiveConfig(first=1, enough_score=0.5)
    annotate = run.annotate.model_copy(update={"model_memory": model_memory})
    run = run.model_copy(update={"adaptive": adaptive, "annotate": annotate})
    rows = annotated(run, metrics.InMemoryMeter())
    assert {len(row["candidates"]) > 1 for row in rows} == {True, False}
    for row in rows:
        first, second = (
            [candidate[name] for candidate in row["candidates"]]
            for name in ("clap_score", "second_score")
        )
        assert second == pytest.approx(first, abs=1e-6)
        assert len(first) == 1 or first[0] < 0.5
