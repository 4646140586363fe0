"""An epoch's order contains every clip once, differs by epoch, and keeps like lengths together."""

import numpy as np
import pytest

from training.data.epoch_order import epoch_order

CLIPS, BATCH = 1000, 8


@pytest.fixture
def duration_s() -> np.ndarray:
    return np.random.default_rng(1).uniform(1, 10, CLIPS)


APART = np.arange(CLIPS)
GROUPED = np.arange(CLIPS) // 5


@pytest.mark.parametrize("bucket", [True, False])
@pytest.mark.parametrize("groups", [APART, GROUPED], ids=["apart", "grouped"])
def test_every_epoch_is_a_permutation_of_its_own(
    duration_s: np.ndarray, groups: np.ndarray, bucket: bool
) -> None:
    orders = [epoch_order(duration_s, groups, BATCH, 3, epoch, bucket) for epoch in range(4)]
    for order in orders:
        assert np.array_equal(np.sort(order), np.arange(CLIPS))
    for one, other in zip(orders, orders[1:], strict=False):
        assert (one == other).mean() < 0.05
    again = epoch_order(duration_s, groups, BATCH, 3, 2, bucket)
    assert np.array_equal(again, orders[2])
    assert not np.array_equal(epoch_order(duration_s, groups, BATCH, 4, 2, bucket), orders[2])


@pytest.mark.parametrize("groups", [APART, GROUPED], ids=["apart", "grouped"])
def test_clips_of_like_duration_share_a_batch_and_its_halves_are_similar(
    duration_s: np.ndarray, groups: np.ndarray
) -> None:
    def rows(bucket: bool) -> np.ndarray:
        order = epoch_order(duration_s, groups, BATCH, 0, 0, bucket)
        return duration_s[order[: CLIPS // BATCH * BATCH]].reshape(-1, BATCH)

    spread, unsorted = (np.ptp(rows(bucket), axis=1).mean() for bucket in (True, False))
    assert spread < unsorted / 3, (spread, unsorted)
    first, second = np.split(rows(True), 2, axis=1)
    assert abs(first.mean() - second.mean()) < 0.1


def test_batches_of_all_durations_come_in_any_order(duration_s: np.ndarray) -> None:
    order = epoch_order(duration_s, APART, BATCH, 0, 0, True)
    means = duration_s[order].reshape(-1, BATCH).mean(axis=1)
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.3


def test_what_fills_no_batch_is_another_part_each_epoch_and_not_the_longest(
    duration_s: np.ndarray,
) -> None:
    left = [epoch_order(duration_s, APART, 300, 0, epoch, True)[900:] for epoch in range(20)]
    assert len(np.unique(np.concatenate(left))) > 800
    assert abs(duration_s[np.concatenate(left)].mean() - duration_s.mean()) < 0.5


def test_a_row_group_is_read_within_one_pool(duration_s: np.ndarray) -> None:
    order = epoch_order(duration_s, GROUPED, BATCH, 0, 0, True)
    pool = np.empty(CLIPS, int)
    pool[order] = np.arange(CLIPS) // (16 * BATCH)
    pools_a_group = [len(np.unique(pool[GROUPED == group])) for group in range(CLIPS // 5)]
    # Only the group at the edge of a pool is in two.
    assert max(pools_a_group) == 2
    assert pools_a_group.count(2) <= CLIPS // (16 * BATCH) + 1


def test_neighbours_of_a_row_group_do_not_stay_in_one_batch(duration_s: np.ndarray) -> None:
    order = epoch_order(np.ones(CLIPS), GROUPED, BATCH, 0, 0, True)
    groups = GROUPED[order[: CLIPS // BATCH * BATCH]].reshape(-1, BATCH)
    distinct = np.mean([len(np.unique(batch)) for batch in groups])
    assert distinct > 0.8 * BATCH, distinct
