"""Lengths of time and sizes in the units that fit them."""

import pytest

from curation.units import format_bytes, format_span


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0 s"),
        (3.24, "3.2 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (60, "1 min 0 s"),
        (3599.7, "1 h 0 min"),
        (7500, "2 h 5 min"),
        (200_000, "2 d 7 h"),
        (-1, "0 s"),
    ],
)
def test_a_length_of_time_has_its_two_largest_units(seconds: float, expected: str) -> None:
    assert format_span(seconds) == expected


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (999.6, "1.00 kB"),
        (12_345, "12.3 kB"),
        (999_400, "999 kB"),
        (999_600, "1.00 MB"),
        (123_456_789, "123 MB"),
        (1.25e9, "1.25 GB"),
        (3.2e15, "3,200 TB"),
    ],
)
def test_a_size_has_three_digits(size: float, expected: str) -> None:
    assert format_bytes(size) == expected
