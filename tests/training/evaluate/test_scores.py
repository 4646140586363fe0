"""Figures of merit equal their definitions: by hand, and by slow code that says what is meant."""

import math

import numpy as np
import pytest

from training.evaluate import retrieval, scores

# Three clips; captions 0 and 1 are of clip 0, caption 2 of clip 1, captions 3 and 4 of clip 2.
CLIP_OF = np.array([0, 0, 1, 2, 2])
SIMILARITIES = np.array(
    [
        [0.9, 0.1, 0.2],
        [0.3, 0.5, 0.4],
        [0.8, 0.6, 0.1],
        [0.2, 0.3, 0.7],
        [0.1, 0.2, 0.6],
    ]
)


def naive_average_precision(values: np.ndarray, relevant: np.ndarray) -> float:
    """The precision among all items as high as each relevant one, averaged."""
    precisions = [
        relevant[values >= value].mean()
        for value, is_relevant in zip(values, relevant, strict=True)
        if is_relevant
    ]
    return float(np.mean(precisions))


def test_the_most_similar_class_is_named_and_a_tie_is_wrong() -> None:
    similarities = np.array([[0.9, 0.1], [0.2, 0.3], [0.5, 0.5], [np.nan, np.nan]])
    right = scores.top_1_correct(similarities, np.array([0, 0, 0, 0]))
    assert right.tolist() == [True, False, False, False]


def test_average_precision_by_hand() -> None:
    relevant = np.array([True, False, True, False])
    assert scores.average_precision(np.array([0.9, 0.8, 0.7, 0.1]), relevant) == pytest.approx(
        (1 + 2 / 3) / 2
    )
    assert scores.average_precision(np.zeros(4), relevant) == pytest.approx(0.5)
    assert math.isnan(scores.average_precision(np.zeros(4), np.zeros(4, bool)))


def test_average_precision_is_what_is_meant_ties_included() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        values = rng.integers(0, 6, 20).astype(float)
        relevant = rng.random(20) < 0.3
        relevant[0] = True
        assert scores.average_precision(values, relevant) == pytest.approx(
            naive_average_precision(values, relevant)
        )


def test_classes_without_a_clip_have_no_average_precision() -> None:
    relevant = np.array([[True, False], [False, False]])
    values = scores.class_average_precisions(np.array([[0.9, 0.1], [0.2, 0.3]]), relevant)
    assert values[0] == 1.0 and math.isnan(values[1])


def test_ranks_by_hand() -> None:
    assert scores.text_to_audio_ranks(SIMILARITIES, CLIP_OF).tolist() == [1, 3, 2, 1, 1]
    ranks = scores.audio_to_text_ranks(SIMILARITIES, CLIP_OF)
    assert [each.tolist() for each in ranks] == [[1, 3], [1], [1, 2]]


def test_ties_count_against_the_model() -> None:
    equal = np.ones((5, 3))
    assert scores.text_to_audio_ranks(equal, CLIP_OF).tolist() == [3] * 5
    ranks = scores.audio_to_text_ranks(equal, CLIP_OF)
    assert [each.tolist() for each in ranks] == [[4, 5], [5], [4, 5]]


def test_figures_of_both_ways_by_hand() -> None:
    figures = retrieval.figures_from_similarities(SIMILARITIES, CLIP_OF)
    assert figures["text_to_audio"] == pytest.approx(
        {"R@1": 3 / 5, "R@5": 1.0, "R@10": 1.0, "mAP@10": (1 + 1 / 3 + 1 / 2 + 1 + 1) / 5}
    )
    assert figures["audio_to_text"] == pytest.approx(
        {"R@1": 1.0, "R@5": 1.0, "R@10": 1.0, "mAP@10": ((1 + 2 / 3) / 2 + 1 + 1) / 3}
    )


def test_retrieval_is_what_is_meant() -> None:
    rng = np.random.default_rng(1)
    clip_of = np.repeat(np.arange(12), 5)
    similarities = rng.normal(size=(60, 12)).round(1)
    to_audio, to_text = [], []
    for caption, row in enumerate(similarities):
        others = np.delete(row, clip_of[caption])
        to_audio.append(1 + sum(other >= row[clip_of[caption]] for other in others))
    for clip in range(12):
        # Best first; of equals, the captions of other clips first.
        order = sorted(range(60), key=lambda c: (-similarities[c, clip], clip_of[c] == clip))
        to_text.append([place for place, c in enumerate(order, 1) if clip_of[c] == clip])
    figures = retrieval.figures_from_similarities(similarities, clip_of)
    for k in (1, 5, 10):
        found = np.mean([rank <= k for rank in to_audio])
        assert figures["text_to_audio"][f"R@{k}"] == pytest.approx(found)
        found = np.mean([min(ranks) <= k for ranks in to_text])
        assert figures["audio_to_text"][f"R@{k}"] == pytest.approx(found)
    precisions = [
        sum(place / rank for place, rank in enumerate(ranks, 1) if rank <= 10) / 5
        for ranks in to_text
    ]
    assert figures["audio_to_text"]["mAP@10"] == pytest.approx(np.mean(precisions))


def test_a_right_item_below_the_depth_counts_for_nothing() -> None:
    assert scores.mean_average_precision_at([np.array([11])], 10) == 0.0
    many = np.arange(1, 21)
    assert scores.mean_average_precision_at([many], 10) == pytest.approx(1.0)


def test_top_k_recall_counts_the_own_item_or_another_relevant_one() -> None:
    similarities = np.array([[0.9, 0.1, 0.0], [0.8, 0.2, 0.1], [0.3, 0.2, 0.1]])
    assert scores.top_k_recall(similarities, 1) == pytest.approx(1 / 3)
    assert scores.top_k_recall(similarities, 2) == pytest.approx(2 / 3)
    relevant = np.eye(3, dtype=bool)
    relevant[1, 0] = True
    assert scores.top_k_recall(similarities, 1, relevant) == pytest.approx(2 / 3)
