"""What a calibration says of scores follows from the scores, as known distributions show."""

import shutil
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

from curation.calibration import csv_pairs, run_pairs
from curation.calibration.summary import summarize_calibration
from curation.calibration.thresholds import (
    PrecisionCurve,
    ScoredPairs,
    Source,
    find_threshold,
    measure_length_bias,
    score_percentiles,
)
from curation.config.run import RunConfig
from curation.errors import InputError
from curation.models.scorers.dual_encoder import DualEncoderScorer
from curation.review.marks import Mark, MarkWriter, export_marks, utc_timestamp
from curation.run import evidence
from curation.run.layout import RunFolder
from curation.stats import auc, separation

RIGHT_MEAN = 3.0


def scored(
    source: Source, matched: np.ndarray, shuffled: np.ndarray, right: np.ndarray | None = None
) -> ScoredPairs:
    """One shuffled score for each caption."""
    return ScoredPairs(
        source=source,
        matched=matched,
        shuffled=shuffled[:, None],
        unrelated=np.ones((len(matched), 1), bool),
        words=np.arange(len(matched)),
        right=right,
    )


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def test_auc_counts_pairs_and_halves_ties(rng: np.random.Generator) -> None:
    higher, lower = rng.integers(0, 9, 30), rng.integers(0, 7, 40)
    each = higher[:, None] - lower
    assert auc(higher, lower) == pytest.approx((each > 0).mean() + (each == 0).mean() / 2)
    assert auc(np.array([2.0, 3.0]), np.array([1.0])) == 1
    assert np.isnan(auc(np.array([]), lower))


def test_deviations_are_those_over_all_permutations(rng: np.random.Generator) -> None:
    scores = rng.normal(size=(5, 5))
    sums = [scores[range(5), order].sum() for order in permutations(range(5))]
    expected = (np.trace(scores) - np.mean(sums)) / np.std(sums)
    assert separation(scores).deviations == pytest.approx(expected)


def test_sounds_and_captions_that_score_high_with_everything_separate_nothing(
    rng: np.random.Generator,
) -> None:
    scores = rng.normal(size=(20, 20)) + 3 * np.eye(20)
    lifted = scores + rng.normal(size=(20, 1)) + rng.normal(size=20)
    assert separation(lifted).deviations == pytest.approx(separation(scores).deviations)
    assert separation(scores).gap == pytest.approx(3, abs=0.6)


def test_equal_scores_separate_nothing() -> None:
    found = separation(np.full((6, 6), 0.5))
    assert (found.gap, found.auc, found.deviations) == (0, 0.5, 0)


def test_judged_captions_give_the_threshold_exactly(rng: np.random.Generator) -> None:
    scores = rng.permutation(100) / 100
    found = find_threshold(scored("judged", scores, scores, right=scores >= 0.5), 0.9, prior=0.1)
    assert found is not None
    # 50 of the 55 captions from 0.45 on are right, and no 50 of 56.
    assert (found.score, found.kept_share) == (0.45, 0.55)
    assert found.precision == pytest.approx(50 / 55)
    assert found.low <= found.score <= found.high


def test_of_written_captions_the_wrong_ones_are_discounted(rng: np.random.Generator) -> None:
    right = np.arange(20_000) % 2 == 0
    matched = rng.normal(np.where(right, RIGHT_MEAN, 0.0))
    given = scored("written", matched, rng.normal(size=20_000))
    curve = PrecisionCurve(given, prior=0.5)
    [precision] = curve.precision(np.ones((1, 20_000)))
    for at in (0.0, 1.0, 2.0, 3.0):
        estimated = precision[np.searchsorted(curve.thresholds, at)]
        assert estimated == pytest.approx(right[matched >= at].mean(), abs=0.02)
        assert curve.at(at) == estimated
    assert np.isnan(curve.at(matched.max() + 1))


def test_true_captions_are_taken_for_their_share(rng: np.random.Generator) -> None:
    matched, shuffled = rng.normal(RIGHT_MEAN, size=20_000), rng.normal(size=20_000)
    curve = PrecisionCurve(scored("true", matched, shuffled), prior=0.2)
    [precision] = curve.precision(np.ones((1, 20_000)))
    place = np.searchsorted(curve.thresholds, 1.5)
    at = curve.thresholds[place]
    right, wrong = 0.2 * (matched >= at).mean(), 0.8 * (shuffled >= at).mean()
    assert precision[place] == pytest.approx(right / (right + wrong))


def test_a_threshold_keeps_as_many_as_it_may(rng: np.random.Generator) -> None:
    given = scored("true", rng.normal(RIGHT_MEAN, size=2000), rng.normal(size=2000))
    kept = []
    for wanted in (0.6, 0.8, 0.95):
        found = find_threshold(given, wanted, prior=0.5)
        assert found is not None and found.precision >= wanted
        kept.append(found.kept_share)
    assert kept == sorted(kept, reverse=True) and kept[0] > kept[-1]


def test_more_captions_narrow_the_bounds(rng: np.random.Generator) -> None:
    widths = []
    for captions in (100, 4000):
        given = scored("true", rng.normal(2, size=captions), rng.normal(size=captions))
        found = find_threshold(given, 0.9, prior=0.5)
        assert found is not None and found.low <= found.score <= found.high
        widths.append(found.high - found.low)
    assert widths[1] < widths[0] / 3


def test_what_separates_nothing_has_no_threshold() -> None:
    assert find_threshold(scored("true", np.zeros(50), np.zeros(50)), 0.9, prior=0.5) is None
    few = scored("judged", np.arange(9.0), np.zeros(9), right=np.ones(9, bool))
    assert find_threshold(few, 0.9, prior=0.5) is None


def test_length_bias_is_the_correlation_of_ranks() -> None:
    words = np.array([3, 9, 5, 20])
    assert measure_length_bias(np.exp(words / 4), words) == pytest.approx(1)
    assert measure_length_bias(-words.astype(float), words) == pytest.approx(-1)
    assert measure_length_bias(np.arange(4.0), np.full(4, 7)) is None


def test_percentiles_are_of_the_scores() -> None:
    percentiles = score_percentiles(np.arange(101.0))
    assert (percentiles["1"], percentiles["50"], percentiles["99"]) == (1, 50, 99)


def test_clips_are_shuffled_where_nothing_connects_their_tags() -> None:
    bark, dog, rain = "/m/05tny_", "/m/0bt9lr", "/m/06mb1"
    apart = run_pairs.unrelated_clips([{bark}, {dog}, {rain}, {rain, dog}, set()])
    strange = run_pairs.unrelated_clips([{"/x/yz"}, {"/x/yz"}, {bark}])
    assert strange.tolist() == [[False, False, True], [False, False, True], [True, True, False]]
    assert apart.tolist() == [
        [False, False, True, False, True],
        [False, False, True, False, True],
        [True, True, False, False, True],
        [False, False, False, False, True],
        [True, True, True, True, False],
    ]


def test_a_runs_evidence_is_calibrated_without_its_audio(annotated_here: RunConfig) -> None:
    catalog = annotated_here.catalog.model_copy(update={"audio": "/nowhere"})
    silent = annotated_here.model_copy(update={"catalog": catalog})
    scorer = DualEncoderScorer()
    pairs = run_pairs.score_run_pairs(silent, scorer, clips=30)
    assert pairs.matched.shape == (30,) and pairs.shuffled.shape == (30, 30)
    # What the evidence says of a clip's own caption, its kept embedding says again.
    np.testing.assert_allclose(np.diagonal(pairs.shuffled), pairs.matched, atol=2e-3)
    found = summarize_calibration(pairs, scorer.identity, prior=0.5, precision=0.8)
    assert found.matched.mean > found.shuffled.mean + 0.2 and found.auc > 0.9
    assert found.threshold is not None and found.threshold.precision >= 0.8
    again = summarize_calibration(
        run_pairs.score_run_pairs(silent, scorer, 30), scorer.identity, 0.5, 0.8
    )
    assert again.to_json() == found.to_json()


def test_another_scorers_evidence_is_refused(annotated_here: RunConfig, tmp_path: Path) -> None:
    other = DualEncoderScorer(DualEncoderScorer()._folder.as_posix())
    with pytest.raises(InputError, match="the scorer here is another than the run.s: .*--captions"):
        run_pairs.score_run_pairs(annotated_here, other, clips=10)


def test_captions_of_ones_own_are_scored_with_their_files(
    annotated_here: RunConfig, corpus: Path, tmp_path: Path
) -> None:
    files = sorted((corpus / "audio").iterdir())[:4]
    lines = [f"{file},a dog barks,{index % 2}" for index, file in enumerate(files)]
    listed = tmp_path / "captions.csv"
    listed.write_text("\n".join(["file,caption,right", *lines, f"{files[0]},rain falls,0"]))
    pairs = csv_pairs.score_csv_pairs(annotated_here, DualEncoderScorer(), str(listed), clips=10)
    assert pairs.source == "judged" and pairs.right is not None
    assert sorted(pairs.right.tolist()) == [False, False, False, True, True]
    # "a dog barks" is listed for every file, "rain falls" for one.
    assert pairs.unrelated.sum(1).tolist() == [0, 0, 0, 0, 3]
    assert pairs.words.tolist() == [3, 3, 3, 3, 2]


def test_what_review_exports_is_taken_with_the_clips_of_the_run(
    annotated_here: RunConfig, tmp_path: Path
) -> None:
    run = RunFolder.from_config(annotated_here)
    rows = evidence.read_evidence_shard(run, 0).slice(0, 4).to_pylist()
    shutil.copytree(run.uri, tmp_path / "run")
    writer = MarkWriter(RunFolder(str(tmp_path / "run")))
    for index, row in enumerate(rows):
        caption, verdict = row["candidates"][0]["caption"], ("good", "bad")[index % 2]
        score = row["candidates"][0]["clap_score"]
        writer.write(
            Mark(row["clip_id"], 0, caption, score, verdict, None, "Ann", utc_timestamp(), None)
        )
    exported = tmp_path / "marks.csv"
    assert export_marks(RunFolder(str(tmp_path / "run")), str(exported)) == 4
    pairs = csv_pairs.score_csv_pairs(annotated_here, DualEncoderScorer(), str(exported), clips=10)
    assert pairs.source == "judged" and pairs.right is not None
    assert pairs.right.tolist() == [True, False, True, False]
    written = [row["candidates"][0]["clap_score"] for row in rows]
    assert pairs.matched == pytest.approx(np.array(written), abs=2e-3), "the same sounds again"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,text\na.wav,x\n", r"columns file, text; expected file \(or clip_id\) and caption"),
        ("file,caption,right\na.wav,x,perhaps\n", "line 2: right is 'perhaps', expected 1 or 0"),
        ("file,caption\na.wav,x\n", "one sound listed, expected two or more"),
        ("file,caption\na.wav,x\nb.wav,y\n", "No such file"),
        ("file,caption\na.wav,x\n,y\n", "line 3: no file or no caption"),
        (
            'file,caption\na.wav,"x\nb.wav,y\n',
            "line 2: not CSV: unexpected end of data",
        ),
        ("file,caption\na.wav,x,y\n", "line 2: found 3 fields in 'a.wav,x,y'; expected 2"),
        ("clip_id,caption\na,x\nb,y\n", "captions.csv: clip '[ab]' has no captions in "),
    ],
)
def test_a_csv_that_cannot_be_used_says_why(
    text: str, message: str, annotated_here: RunConfig, tmp_path: Path
) -> None:
    listed = tmp_path / "captions.csv"
    listed.write_text(text)
    with pytest.raises(InputError, match=message):
        csv_pairs.score_csv_pairs(annotated_here, DualEncoderScorer(), str(listed), clips=10)
