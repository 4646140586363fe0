"""Computes evaluation metrics, as pure functions of similarities and targets.

Ties count against the model: a wrong item with the same score as the right one is ranked before it,
and so is an item whose similarity is NaN. A model that gives every item the same score is therefore
never right.
"""

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating]
Mask = npt.NDArray[np.bool_]
Ranks = npt.NDArray[np.integer]


def top_1_correct(similarities: Array, targets: Ranks) -> Mask:
    """Test whether the true class of each clip is the most similar: bool `[clip]`. A tie is wrong.

    Args:
        similarities: of clips to classes `[clip, class]`.
        targets: the true class of each clip `[clip]`.
    """
    own = np.take_along_axis(similarities, targets[:, None], axis=1)
    return _not_below(similarities, own) == 1


def average_precision(scores: Array, relevant: Mask) -> float:
    """The mean of the precision at each relevant item; NaN if none is relevant.

    Items with the same score share a threshold, as in scikit-learn's `average_precision_score`.

    Args:
        scores: `[item]`, finite.
        relevant: `[item]`.
    """
    order = np.argsort(-scores, kind="stable")
    last_of_score = np.append(np.diff(scores[order]) != 0, True)
    found = np.cumsum(relevant[order])[last_of_score]
    precision = found / (np.flatnonzero(last_of_score) + 1)
    total = int(relevant.sum())
    return float((np.diff(found, prepend=0) * precision).sum() / total) if total else float("nan")


def class_average_precisions(similarities: Array, relevant: Mask) -> Array:
    """The average precision of each class `[class]`; NaN for classes without a clip.

    Args:
        similarities: of clips to classes `[clip, class]`.
        relevant: the classes of each clip `[clip, class]`.
    """
    return np.array(
        [
            average_precision(*column)
            for column in zip(similarities.T, relevant.T, strict=True)
        ]
    )  # fmt: skip


def text_to_audio_ranks(similarities: Array, clip_of: Ranks) -> Ranks:
    """Return for each caption the rank of its clip among all clips, from 1, `[caption]`.

    Args:
        similarities: of captions to clips `[caption, clip]`.
        clip_of: the clip of each caption `[caption]`.
    """
    own = np.take_along_axis(similarities, clip_of[:, None], axis=1)
    return _not_below(similarities, own)


def audio_to_text_ranks(similarities: Array, clip_of: Ranks) -> list[Ranks]:
    """Return for each clip the ranks of its captions among all captions, from 1, ascending.

    Args: as `text_to_audio_ranks`.
    """
    ranks: list[Ranks] = []
    for clip, column in enumerate(similarities.T):
        own = np.sort(column[clip_of == clip])[::-1]
        others = column[clip_of != clip]
        before = np.array([_not_below(others, score) for score in own])
        ranks.append(before + np.arange(1, len(own) + 1))
    return ranks


def recall_at(best_ranks: Ranks, k: int) -> float:
    """Share of queries with a right item among the first `k`."""
    return float((best_ranks <= k).mean())


def mean_average_precision_at(ranks: list[Ranks], k: int) -> float:
    """Compute mAP@k: precision at each right item in the first `k`, averaged over queries.

    The precisions of a query are summed, and the sum is divided by `k` or by the number of the
    query's right items, whichever is less.

    Args:
        ranks: for each query the ranks of its right items, from 1, ascending.
    """
    values = []
    for query in ranks:
        precision = np.arange(1, len(query) + 1) / query
        values.append(precision[query <= k].sum() / min(k, len(query)))
    return float(np.mean(values))


def _not_below(similarities: Array, own: Array) -> Ranks:
    """How many are at least as high as `own` in the last dimension, NaN counted among them."""
    return np.count_nonzero(~(similarities < own), axis=-1)


def top_k_recall(similarities: np.ndarray, k: int, relevant: np.ndarray | None = None) -> float:
    """Share of queries with a relevant item among the `k` most similar; ties rank by position.

    Args:
        similarities: of queries to items `[query, item]`.
        relevant: whether each item is relevant to each query `[query, item]`. None means that only
            item i is relevant to query i.
    """
    best = np.argsort(-similarities, axis=1)[:, :k]
    fits = np.eye(len(similarities), dtype=bool) if relevant is None else relevant
    return float(np.take_along_axis(fits, best, axis=1).any(axis=1).mean())
