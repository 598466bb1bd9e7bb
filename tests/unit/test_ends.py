"""Where a series begins or ends, found by looking at pages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laklak.model.series import MINUTE_MS, Interval, TimeRange
from laklak.plan.ends import EdgeSearch

MINUTE = Interval.parse("1m")


def look(edge, alive, size, page):
    """Search `size` minutes of which those from alive[0] to alive[1] have candles: (minute found, pages)."""
    search = EdgeSearch.over(edge, MINUTE, TimeRange(0, size * MINUTE_MS), page)
    pages = 0
    while (window := search.window()) is not None:
        pages += 1
        assert 0 <= window.start_ms < window.end_ms <= size * MINUTE_MS
        assert window.count(MINUTE) <= page
        first, last = max(alive[0], window.start_ms // MINUTE_MS), min(alive[1], window.end_ms // MINUTE_MS - 1)
        search = search.heard(window, [minute * MINUTE_MS for minute in range(first, last + 1)])
        assert pages < 200
    return (None if search.found_ms is None else search.found_ms // MINUTE_MS), pages


@pytest.mark.parametrize("edge", ["first", "newest"])
@given(st.data())
def test_both_ends_of_a_life_are_found_wherever_it_lies(edge, data):
    page = data.draw(st.integers(1, 40))
    size = data.draw(st.integers(1, 30 * page))
    first = data.draw(st.integers(0, size - 1))
    last = data.draw(st.integers(first, size - 1))

    found, _ = look(edge, (first, last), size, page)

    assert found == (first if edge == "first" else last)


@pytest.mark.parametrize("edge", ["first", "newest"])
def test_a_life_without_candles_has_no_end(edge):
    assert look(edge, (5, 4), 1000, 100) == (None, 10)


def test_the_first_minute_of_a_living_series_of_twenty_years_takes_a_few_pages():
    size = 20 * 365 * 1440
    for first in (0, 1, 777_777, size // 2, size - 2_000):
        found, pages = look("first", (first, size - 1), size, 1000)

        assert found == first
        assert pages <= 40


def test_a_living_series_is_known_to_live_by_one_page():
    assert look("newest", (0, 99_999), 100_000, 1000) == (99_999, 1)
