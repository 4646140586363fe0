"""Ranks candidates within their clip, and takes the best fraction of groups."""

import numpy as np


def rank_within(
    group: np.ndarray, score: np.ndarray, eligible: np.ndarray | None = None
) -> np.ndarray:
    """Rank each entry within its group, int32 `[entries]`, 1 for the best.

    Of entries with equal scores the earlier one ranks higher.

    Args:
        group: int `[entries]`.
        score: float `[entries]`.
        eligible: bool `[entries]`; the other entries rank after the eligible ones. None: all
            entries are eligible.
    """
    if eligible is not None:
        score = np.where(eligible, score, -np.inf)
    order = np.lexsort((np.arange(len(score)), -score, group))
    sorted_group = group[order]
    first = np.r_[True, sorted_group[1:] != sorted_group[:-1]] if len(order) else np.zeros(0, bool)
    start = np.flatnonzero(first)
    position = np.arange(len(order)) - np.repeat(start, np.diff(np.r_[start, len(order)]))
    result = np.empty(len(order), dtype=np.int32)
    result[order] = position + 1
    return result


def best_first(score: np.ndarray, group: np.ndarray | None = None) -> np.ndarray:
    """Sort entries by descending score; with groups, sort by group first.

    Entries with equal scores are in their original order. Returns int `[entries]`.
    """
    order = np.argsort(-score, kind="stable")
    return order if group is None else order[np.argsort(group[order], kind="stable")]


def take_fraction(
    ordered: np.ndarray, fraction: float, group: np.ndarray | None = None
) -> np.ndarray:
    """Take the best `fraction`, rounded up, of all entries, or of each group of entries.

    Args:
        ordered: int `[entries]`, from `best_first`.
        group: int `[entries]`, the group of each entry in `ordered`, ascending; None: one group.
    """
    if group is None:
        return ordered[: int(fraction_size(np.array(len(ordered)), fraction))]
    size = np.bincount(group)
    position = np.arange(len(group)) - (np.cumsum(size) - size)[group]
    return ordered[position < fraction_size(size, fraction)[group]]


def fraction_size(size: np.ndarray, fraction: float) -> np.ndarray:
    """Return the number of entries in `fraction` of a group of `size` entries, rounded up."""
    rounded: np.ndarray = np.ceil(size * fraction - 1e-9).astype(int)
    return rounded


def standardise(values: np.ndarray) -> np.ndarray:
    """Scale values to mean 0 and standard deviation 1; all become 0 if they are equal."""
    deviation = values.std() if len(values) else 0.0
    return (values - values.mean()) / deviation if deviation > 0 else np.zeros_like(values)
