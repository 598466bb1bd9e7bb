"""Which source gave which stretch, in which runs: noted with the candles, a row for each stretch."""

from __future__ import annotations

from dataclasses import replace

import pytest

from laklak.model.provenance import Stretch, given_by
from laklak.model.series import DAY_MS, MINUTE_MS, Interval, Series, TimeRange
from laklak.stores.base import Delivery

START = 1_767_225_600_000
DAYS = TimeRange(START, START + 3 * DAY_MS)
MINUTE = Interval.parse("1m")


def stretch(first: int, after: int, source="rest", runs=(1, 1), state="confirmed") -> Stretch:
    return Stretch(TimeRange(START + first * MINUTE_MS, START + after * MINUTE_MS), source, state, *runs)


@pytest.fixture
def give(deliver, series):
    """Candles of the minutes from `first` to before `after`, as a source gave them in a run."""

    def make(first: int, after: int, source="rest", run: int = 1, of: Series = series) -> Delivery:
        delivery = deliver(of, after - first, start_ms=START + first * of.interval.ms)
        given = given_by(source, delivery.candles.open_times, of.interval, run)
        return replace(delivery, provenance=given)

    return make


def test_a_hundred_runs_of_a_minute_each_are_one_row(use, series, give):
    for run in range(4):
        # Each fourth in a store that was opened anew.
        async def work(store, run=run):
            for minute in range(25 * run, 25 * run + 25):
                await store.write([give(minute, minute + 1, run=1000 + minute)])
            return await store.provenance(series, DAYS)

        assert use(work) == [stretch(0, 25 * run + 25, runs=(1000, 1000 + 25 * run + 24))]


def test_pages_that_come_in_any_order_are_one_row(use, series, give):
    async def work(store):
        for pages in ((7, 2), (3,), (0, 9, 1), (5, 4, 8), (6,)):
            await store.write([give(100 * page, 100 * page + 100) for page in pages])
        return await store.provenance(series, DAYS)

    assert use(work) == [stretch(0, 1000)]
    assert use(lambda store: store.provenance(series, DAYS)) == [stretch(0, 1000)]


def test_two_sources_are_two_rows_and_the_later_one_counts_where_both_gave(use, series, give):
    async def work(store):
        await store.write([give(0, 300, "archive", 1)])
        await store.write([give(300, 400, "rest", 2)])
        await store.write([give(100, 101, "rest", 3)])
        return await store.provenance(series, DAYS)

    expected = [
        stretch(0, 100, "archive"),
        stretch(100, 101, "rest", (3, 3)),
        stretch(101, 300, "archive"),
        stretch(300, 400, "rest", (2, 2)),
    ]
    assert use(work) == expected
    assert use(lambda store: store.provenance(series, DAYS)) == expected


def test_what_is_fetched_again_by_the_same_source_stays_one_row(use, series, give):
    async def work(store):
        await store.write([give(0, 300, run=1)])
        await store.write([give(50, 60, run=7)])
        return await store.provenance(series, DAYS)

    assert use(work) == [stretch(0, 300, runs=(1, 7))]


def test_a_provisional_stretch_becomes_a_confirmed_one(use, series, give):
    live = replace(give(100, 110), provenance=[stretch(100, 110, "live", (5, 5), "provisional")])

    async def work(store):
        await store.write([give(0, 100)])
        await store.write([live])
        before = await store.provenance(series, DAYS)
        await store.write([give(100, 110, "rest", 6)])
        return before, await store.provenance(series, DAYS)

    assert use(work) == (
        [stretch(0, 100), stretch(100, 110, "live", (5, 5), "provisional")],
        [stretch(0, 110, runs=(1, 6))],
    )


def test_gaps_stay_gaps(use, series, deliver):
    candles = deliver(series, 20).candles.only(
        [TimeRange(START, START + 3 * MINUTE_MS), TimeRange(START + 9 * MINUTE_MS, START + 20 * MINUTE_MS)]
    )
    given = given_by("rest", candles.open_times, MINUTE, 1)

    use(lambda store: store.write([Delivery(series, candles, provenance=given)]))

    assert use(lambda store: store.provenance(series, DAYS)) == [stretch(0, 3), stretch(9, 20)]


def test_provenance_is_of_a_series_and_cut_to_what_is_asked_for(use, series, give):
    other = Series.parse("binance:BTCUSDT:5m")

    async def work(store):
        await store.write([give(0, 100), give(0, 3, "archive", of=other)])
        span = TimeRange(START + 10 * MINUTE_MS, START + 12 * MINUTE_MS)
        return await store.provenance(series, span), await store.provenance(other, DAYS)

    assert use(work) == ([stretch(10, 12)], [stretch(0, 15, "archive")])


def test_candles_of_which_nobody_says_where_they_came_from_have_no_provenance(use, series, deliver):
    use(lambda store: store.write([deliver(series, 100)]))

    assert use(lambda store: store.provenance(series, DAYS)) == []
