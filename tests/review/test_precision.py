"""From marks to precision: on the procedural corpus, by a marker who is wrong one time in ten, the
interval holds what that marker would say of every caption.
"""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from curation.config.policy import Policy
from curation.demo.grading import grade_caption
from curation.review import index_builder, marks, precision, sampling
from curation.review.index import ReviewIndex
from curation.review.labels import Labels
from curation.review.service import ReviewService
from curation.run import evidence, layout
from curation.run.layout import RunFolder
from curation.schema import EVIDENCE_SCHEMA
from curation.storage.files import Storage
from curation.synth.negatives import make_hard_negatives
from curation.synth.scenes import make_scene
from curation.uris import join_uri
from tests.support.runs import planned_run

CLIPS = 1500
SHARD_CLIPS = 500
MARKINGS = 200
MARKED = 120
ERROR = 0.1
# Two hundred markings tell a coverage of .95 to within .015 (one standard deviation).
LEAST_COVERAGE = 0.93


@pytest.fixture(scope="module")
def corpus_index(tmp_path_factory: pytest.TempPathFactory) -> tuple[ReviewIndex, np.ndarray]:
    """Captions of the procedural corpus's scenes, and which are right: `[entries]`.

    Two captions a clip, a true one or one that is wrong in one word, as its judge tells; a score
    that prefers right ones as often as the reference CLAP does.
    """
    config = planned_run(tmp_path_factory.mktemp("corpus_run"), CLIPS, SHARD_CLIPS)
    rows, right = [], []
    for number in range(CLIPS):
        row, judged = scene_row(number)
        rows.append(row)
        right += judged
    for shard in range(CLIPS // SHARD_CLIPS):
        part = rows[shard * SHARD_CLIPS : (shard + 1) * SHARD_CLIPS]
        evidence.write_evidence_shard(
            RunFolder.from_config(config), shard, pa.Table.from_pylist(part, EVIDENCE_SCHEMA)
        )
    return index_builder.open_index(
        RunFolder.from_config(config), lambda done, total: None
    ), np.array(right)


def scene_row(number: int) -> tuple[dict[str, object], list[bool]]:
    chance = np.random.default_rng((7, number))
    scene = make_scene(seed=5, index=number)
    wrong = make_hard_negatives(scene, chance, count=1) or [scene.captions[0]]
    captions = [str(chance.choice([scene.captions[0], wrong[0]])) for _ in range(2)]
    right = [bool(grade_caption(caption, scene).all_right) for caption in captions]
    candidates = [
        {
            "caption": caption,
            "method": "sample",
            "log_prob": -1.0,
            "clap_score": float(chance.normal(0.45 if good else 0.3, 0.12)),
        }
        for caption, good in zip(captions, right, strict=True)
    ]
    clip_id = f"scene{number:05d}"
    row = {"clip_id": clip_id, "tags": [], "guidance": [], "candidates": candidates}
    return {**row, "outcome": "ok"}, right


def marked_by_chance(index: ReviewIndex, right: np.ndarray, seed: int) -> ReviewService:
    """Another draw of the sample, its first captions marked by one who errs."""
    drawn = sampling.sampling_order(index.columns["stratum"], seed)
    other = replace(index, columns={**index.columns, "drawn": drawn})
    sampled = drawn[:MARKED]
    errs = np.random.default_rng((seed, 1)).random(MARKED) < ERROR
    Storage().delete_tree(layout.marks_uri(index.metadata.run))
    said = [
        mark_of(other, int(entry), bool(good))
        for entry, good in zip(sampled, right[sampled] ^ errs, strict=True)
    ]
    lines = b"".join(marks.mark_to_line(each) for each in said)
    Storage().put(join_uri(layout.marks_uri(index.metadata.run), "one.jsonl"), lines)
    run = RunFolder(index.metadata.run)
    return ReviewService(run, other, Labels(run, other, "simulated"))


def mark_of(index: ReviewIndex, entry: int, good: bool) -> marks.Mark:
    return marks.Mark(
        clip_id=index.clip_ids[int(index.columns["clip"][entry])].as_py(),
        candidate=int(index.columns["candidate"][entry]),
        caption=index.captions[entry].as_py(),
        clap_score=float(index.score("clap")[entry]),
        verdict="good" if good else "bad",
        corrected=None,
        marker="simulated",
        time=marks.utc_timestamp(),
        sample=index.metadata.sample_design,
    )


def test_the_curve_lies_within_its_interval(corpus_index: tuple[ReviewIndex, np.ndarray]) -> None:
    index, right = corpus_index
    as_marked = right * (1 - ERROR) + ~right * ERROR
    score, rank = index.score("clap"), index.columns["rank_clap"]
    covered: dict[int, list[bool]] = {1: [], 2: []}
    widths: dict[int, list[float]] = {1: [], 2: []}
    for seed in range(MARKINGS):
        answers = marked_by_chance(index, right, seed)
        for max_per_clip in covered:
            points = answers.curve(Policy(max_per_clip=max_per_clip))["points"]
            for point in (point for point in points if point["precision"] is not None):
                truth = as_marked[(rank <= max_per_clip) & (score >= point["threshold"])].mean()
                covered[max_per_clip].append(point["low"] <= truth <= point["high"])
            widths[max_per_clip].append(points[0]["high"] - points[0]["low"])
    for max_per_clip, held in covered.items():
        message = f"{np.mean(held):.3f} of {len(held)} at max_per_clip {max_per_clip}"
        assert np.mean(held) >= LEAST_COVERAGE, message
    # An interval that says nothing would cover too. At `max_per_clip` 2 half of the captions are
    # those of which fewer were drawn.
    assert np.mean(widths[1]) < 0.2 and np.mean(widths[2]) < 0.28


def test_an_error_free_marker_of_every_caption_knows_the_precision() -> None:
    size = np.array([50, 30, 20])
    good = np.array([10, 20, 19])
    found = precision.estimate_precision(size, size, good)
    assert found.precision == pytest.approx(0.49)
    assert found.low < 0.49 < found.high and found.marked == 100


def test_a_stratum_counts_by_its_size_and_not_by_its_marks() -> None:
    found = precision.estimate_precision(
        np.array([900, 100]), np.array([10, 90]), np.array([10, 0])
    )
    assert found.precision == pytest.approx(0.9)
    assert found.effective < 15


def test_what_no_mark_speaks_of_may_be_good_or_bad() -> None:
    found = precision.estimate_precision(np.array([50, 50]), np.array([40, 0]), np.array([40, 0]))
    assert found.low < 0.5 and found.high == 1.0


def test_without_marks_nothing_is_known() -> None:
    none = np.zeros(2, int)
    found = precision.estimate_precision(np.array([5, 5]), none, none)
    assert (found.precision, found.low, found.high) == (None, 0.0, 1.0)


def test_a_sample_cycles_through_its_groups(corpus_index: tuple[ReviewIndex, np.ndarray]) -> None:
    index, _ = corpus_index
    stratum, drawn = index.columns["stratum"], index.columns["drawn"]
    assert sorted(drawn.tolist()) == list(range(index.metadata.entries))
    nine_turns = 9 * sampling.BEST_BANDS + 3 * sampling.OTHER_BANDS
    drawn_of = np.bincount(stratum[drawn[:nine_turns]], minlength=sampling.STRATUM_COUNT)
    assert drawn_of.tolist() == [9] * sampling.BEST_BANDS + [3] * sampling.OTHER_BANDS
