"""The steady speed leaves out the time in which not every worker has a shard."""

import pytest

from benchmarks.common.shard_times import measure_steady_rate


def test_steady_is_while_every_worker_has_a_shard() -> None:
    # Ten clips a shard of one second; the second worker begins 1.5 s late and ends 0.5 s early.
    first = [(float(start), start + 1.0) for start in range(6)]
    second = [(start + 1.5, start + 2.5) for start in range(4)]
    assert measure_steady_rate([*first, *second], 100) == pytest.approx(20.0)


def test_one_shard_is_its_own_time() -> None:
    assert measure_steady_rate([(3.0, 5.0)], 10) == pytest.approx(5.0)


def test_gaps_between_shards_count() -> None:
    assert measure_steady_rate([(0.0, 1.0), (2.0, 3.0)], 20) == pytest.approx(20 / 3)
