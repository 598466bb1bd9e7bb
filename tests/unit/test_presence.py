"""What a store lacks is recognised from counts, and never wrongly."""

from __future__ import annotations

import asyncio
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from laklak.model.absences import Absence
from laklak.model.series import DAY_MS, Interval, Series, TimeRange
from laklak.stores.coverage import survey

HOUR = Interval.parse("1h")
SERIES = Series("binance", "BTCUSDT", HOUR)


class Counted:
    """The reading side of a store that holds candles and absences by hour, and counts what it is asked."""

    def __init__(self, stored, absent=()):
        self._stored = sorted(hour * HOUR.ms for hour in stored)
        self._absent = sorted(hour * HOUR.ms for hour in set(absent) - set(stored))
        self.asked = Counter()

    def _within(self, times, span):
        return [time for time in times if span.start_ms <= time < span.end_ms]

    async def count(self, series, span):
        self.asked["count"] += 1
        return len(self._within(self._stored, span))

    async def count_by_day(self, series, span):
        self.asked["count_by_day"] += 1
        return dict(Counter(time // DAY_MS * DAY_MS for time in self._within(self._stored, span)))

    async def open_times(self, series, span):
        self.asked["open_times"] += 1
        assert span.end_ms - span.start_ms <= DAY_MS
        return self._within(self._stored, span)

    async def absences(self, series, span):
        return [Absence.at(HOUR, time, "hole", 1, "") for time in self._within(self._absent, span)]


def look(store, start, end, **options):
    return asyncio.run(survey(store, SERIES, TimeRange(start * HOUR.ms, end * HOUR.ms), **options))


def hours_of(ranges):
    return [time // HOUR.ms for part in ranges for time in range(part.start_ms, part.end_ms, HOUR.ms)]


hours = st.sets(st.integers(0, 120), max_size=121)
whole_days = st.sets(st.integers(0, 4)).map(lambda days: {day * 24 + hour for day in days for hour in range(24)})


@given(st.one_of(hours, whole_days), whole_days, st.sets(st.integers(0, 120), max_size=5), st.integers(0, 60))
def test_what_is_missing_is_exactly_what_is_neither_stored_nor_absent(some, more, absent, start):
    stored = some | more
    end = start + 55

    presence = look(Counted(stored, absent), start, end)

    wanted = range(start, end)
    assert presence.stored == sum(hour in stored for hour in wanted)
    assert hours_of(presence.missing) == [hour for hour in wanted if hour not in stored and hour not in absent]
    assert presence.stored + len(presence.absences) + len(hours_of(presence.missing)) == len(wanted)


@given(hours, st.sets(st.integers(0, 120), max_size=9))
def test_a_recheck_counts_absences_as_missing(stored, absent):
    presence = look(Counted(stored, absent), 0, 121, recheck=True)

    assert presence.absences == ()
    assert hours_of(presence.missing) == [hour for hour in range(121) if hour not in stored]


def test_a_full_range_takes_one_count():
    store = Counted(range(240))

    look(store, 0, 240)

    assert store.asked == {"count": 1}


def test_an_empty_range_takes_one_count_and_is_one_gap():
    store = Counted([])

    presence = look(store, 5, 240)

    assert store.asked == {"count": 1}
    assert len(presence.missing) == 1


def test_timestamps_are_read_only_of_the_days_that_are_neither_full_nor_empty():
    store = Counted(set(range(240)) - {50} - set(range(96, 120)))

    presence = look(store, 0, 240)

    assert store.asked["open_times"] == 1
    assert hours_of(presence.missing) == [50, *range(96, 120)]


def test_a_stale_hole_and_a_missing_minute_do_not_cancel_out():
    # Day 1 holds one candle too few and knows one absence: the counts agree, the minutes do not.
    store = Counted(set(range(48)) - {30, 31}, absent={30})

    assert hours_of(look(store, 0, 48).missing) == [31]


def test_nothing_wanted_asks_nothing():
    store = Counted(range(10))

    assert look(store, 5, 5).missing == ()
    assert not store.asked
