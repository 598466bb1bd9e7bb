"""Sums of a day that a server makes: rounding never makes a day another one, and a digit that counts does."""

from __future__ import annotations

import random
from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from laklak.audit.verify import differing
from laklak.model.digest import DayDigest, sums_of

NUMBERS = st.lists(st.floats(0, 1e300), min_size=1, max_size=300)


def day(rows: int, total: float) -> DayDigest:
    return DayDigest(0, rows, b"", sums=(total,) * 5)


@given(NUMBERS, st.randoms(use_true_random=False))
def test_the_same_numbers_added_up_in_any_order_are_the_same_day(numbers, chance):
    (exact,) = sums_of([numbers])
    mixed = chance.sample(numbers, len(numbers))
    *_, one_by_one = accumulate(mixed)
    halves = sum(mixed[: len(mixed) // 2]) + sum(mixed[len(mixed) // 2 :])

    for total in (one_by_one, halves):
        assert differing({0: day(len(numbers), exact)}, {0: day(len(numbers), total)}, "sums") == []


def test_one_changed_digit_of_a_day_of_minutes_is_another_day():
    chance = random.Random(7)
    for price, digit in ((60_000.0, 0.1), (0.00001234, 1e-8), (1_000_000.0, 0.001)):
        numbers = [round(price * (1 + chance.random() / 100), 10) for _ in range(1440)]
        (exact,) = sums_of([numbers])
        numbers[chance.randrange(1440)] += digit

        (found,) = differing({0: day(1440, exact)}, {0: day(1440, sum(numbers))}, "sums")

        assert found[0] == 0


def test_a_sum_that_is_larger_than_any_double_is_infinite_and_no_error():
    assert sums_of([[1.7e308, 1.7e308], [1.0]]) == (float("inf"), 1.0)
