"""Figures of merit equal their definitions, ties included."""

import math

import numpy as np
import pytest

from curation.stats import auc
from training.evaluate.scores import top_k_recall


def test_auc_counts_pairs() -> None:
    right, wrong = np.array([0.9, 0.5, 0.5]), np.array([0.5, 0.1])
    pairs = [(r > w) + (r == w) / 2 for r in right for w in wrong]
    assert auc(right, wrong) == pytest.approx(sum(pairs) / len(pairs))


def test_auc_needs_both() -> None:
    assert math.isnan(auc(np.array([1.0]), np.array([])))


def test_recall_finds_the_own_item_or_one_alike() -> None:
    similarities = np.array([[0.9, 0.1, 0.0], [0.8, 0.2, 0.1], [0.3, 0.2, 0.1]])
    assert top_k_recall(similarities, 1) == pytest.approx(1 / 3)
    assert top_k_recall(similarities, 2) == pytest.approx(2 / 3)
    alike = np.eye(3, dtype=bool)
    alike[1, 0] = True
    assert top_k_recall(similarities, 1, alike) == pytest.approx(2 / 3)
