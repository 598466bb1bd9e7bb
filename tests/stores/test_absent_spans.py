"""Stretches without candles: one row each in every store, true as long as no candle says otherwise."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest

from laklak.model.absences import Absence
from laklak.model.series import DAY_MS, MINUTE_MS, Interval, Series, TimeRange
from laklak.stores.base import AbsenceCount, Delivery
from laklak.stores.coverage import survey, take_stock

START = 1_767_225_600_000
DAYS = TimeRange(START, START + 3 * DAY_MS)
MINUTE = Interval.parse("1m")
FIVE_YEARS = TimeRange(START - 5 * 365 * DAY_MS, START)
LAG_S = 0.05


def minutes(first: int, after: int) -> TimeRange:
    return TimeRange(START + first * MINUTE_MS, START + after * MINUTE_MS)


def quiet(first: int, after: int, noted_ms: int = START) -> Absence:
    return Absence(
        minutes(first, after), "quiet", noted_ms, "nobody traded", venue_ms=noted_ms + 1, sources=("rest", "archive")
    )


def edge(first: int, after: int, kind: str = "before_first") -> Absence:
    return Absence(minutes(first, after), kind, START, "the venue's first candle is later", venue_ms=7)


def spans_of(absences) -> list[tuple[str, TimeRange]]:
    return [(one.kind, one.span) for one in absences]


@pytest.mark.parametrize("kind", ["quiet", "closed", "before_first", "after_last"])
def test_a_stretch_comes_back_as_one_with_its_evidence(use, series, kind):
    given = Absence(minutes(5, 900), kind, START, "as the venue says", None, START + 1, START + 2, ("rest",))

    use(lambda store: store.write([Delivery(series, None, [given])]))

    assert use(lambda store: store.absences(series, DAYS)) == [given]


def test_a_stretch_is_cut_to_what_is_asked_for(use, series):
    async def work(store):
        await store.write([Delivery(series, None, [quiet(0, 100)])])
        return await store.absences(series, minutes(40, 50)), await store.absences(series, minutes(100, 110))

    assert use(work) == ([quiet(40, 50)], [])


def test_neighbours_of_a_kind_are_one_stretch_as_old_as_its_oldest_part(use, series):
    async def work(store):
        for minute in range(20):
            await store.write([Delivery(series, None, [quiet(minute, minute + 1, START + minute)])])
        return await store.absences(series, DAYS), list(await store.absence_counts())

    assert use(work) == ([quiet(0, 20, START)], [AbsenceCount("binance", "quiet", 1, START, START)])


def test_a_stretch_that_is_told_again_has_the_later_evidence(use, series):
    async def work(store):
        await store.write([Delivery(series, None, [quiet(0, 20)])])
        await store.write([Delivery(series, None, [quiet(0, 20, START + 5)])])
        return await store.absences(series, DAYS)

    assert use(work) == [quiet(0, 20, START + 5)]


def test_a_stretch_of_another_kind_counts_where_it_overlaps(use, series):
    async def work(store):
        await store.write([Delivery(series, None, [quiet(0, 20)])])
        await store.write([Delivery(series, None, [replace(quiet(5, 8), kind="closed")])])
        return spans_of(await store.absences(series, DAYS))

    assert use(work) == [("quiet", minutes(0, 5)), ("closed", minutes(5, 8)), ("quiet", minutes(8, 20))]


def test_a_candle_takes_its_minute_out_of_a_quiet_stretch(use, series, deliver):
    async def work(store):
        await store.write([Delivery(series, None, [quiet(0, 20)])])
        await store.write([deliver(series, 2, start_ms=START + 7 * MINUTE_MS)])
        return await store.absences(series, DAYS)

    expected = [quiet(0, 7), quiet(9, 20)]
    assert use(work) == expected
    # And so it stays.
    assert use(lambda store: store.absences(series, DAYS)) == expected


@pytest.mark.parametrize("kind", ["before_first", "after_last"])
def test_a_candle_disproves_the_whole_of_an_end(use, series, deliver, kind):
    async def work(store):
        await store.write([Delivery(series, None, [edge(0, 1000, kind)])])
        await store.write([deliver(series, 1, start_ms=START + 7 * MINUTE_MS)])
        return await store.absences(series, DAYS), list(await store.absence_counts())

    assert use(work) == ([], [])


def test_candles_beside_a_stretch_leave_it_alone(use, series, deliver):
    async def work(store):
        await store.write([Delivery(series, None, [edge(0, 10), quiet(15, 20)])])
        await store.write([deliver(series, 5, start_ms=START + 10 * MINUTE_MS)])
        return await store.absences(series, DAYS)

    assert use(work) == [edge(0, 10), quiet(15, 20)]


def test_a_stretch_is_recorded_only_where_no_candle_is(use, series, deliver):
    async def work(store):
        await store.write([deliver(series, 5, start_ms=START + 10 * MINUTE_MS)])
        await store.write([Delivery(series, None, [quiet(0, 20), edge(0, 30, "after_last")])])
        return await store.absences(series, DAYS)

    assert use(work) == [quiet(0, 10), quiet(15, 20)]


def test_stored_beats_a_stretch_of_the_same_write(use, series, deliver):
    async def work(store):
        await store.write([Delivery(series, None, [quiet(0, 20)]), deliver(series, 5)])
        return await store.absences(series, DAYS)

    assert use(work) == [quiet(5, 20)]


def test_a_hole_that_a_stretch_covers_is_told_by_the_stretch_alone(use, series):
    hole = Absence.at(MINUTE, START + 3 * MINUTE_MS, "hole", START, "two complete answers lack it")
    other = Absence.at(MINUTE, START + 30 * MINUTE_MS, "hole", START, "two complete answers lack it")

    async def work(store):
        await store.write([Delivery(series, None, [hole, other])])
        await store.write([Delivery(series, None, [edge(0, 10)])])
        return await store.absences(series, DAYS)

    assert use(work) == [edge(0, 10), other]


def test_a_hole_of_several_minutes_is_kept_one_by_one(use, series):
    async def work(store):
        await store.write([Delivery(series, None, [Absence(minutes(2, 5), "hole", START, "lacking")])])
        return await store.absences(series, DAYS)

    assert use(work) == [Absence(minutes(minute, minute + 1), "hole", START, "lacking") for minute in (2, 3, 4)]


def test_a_stretch_of_one_series_says_nothing_about_another(use, series, deliver):
    other = Series.parse("binance:BTCUSDT:5m")

    async def work(store):
        await store.write([Delivery(series, None, [edge(0, 50)]), deliver(other, 5)])
        return await store.absences(series, DAYS), await store.absences(other, DAYS)

    assert use(work) == ([edge(0, 50)], [])


def test_a_stretch_alone_has_an_origin_and_is_no_holding(use, series):
    async def work(store):
        await store.set_origin("real")
        await store.write([Delivery(series, None, [edge(0, 50)])])
        return await store.origin(), await store.holdings()

    assert use(work) == ("real", {})


def test_what_is_missing_is_what_is_neither_stored_nor_in_a_stretch(use, series, deliver):
    hole = Absence.at(MINUTE, START + 120 * MINUTE_MS, "hole", START, "two complete answers lack it")

    async def work(store):
        await store.write([deliver(series, 20, start_ms=START + 100 * MINUTE_MS)])
        await store.write([Delivery(series, None, [edge(-5000, 100), quiet(130, 140), hole])])
        return await take_stock(store, series, minutes(-4000, 200)), await survey(
            store, series, minutes(-4000, 200), recheck=True
        )

    presence, again = use(work)

    assert (presence.stored, presence.missing) == (20, (minutes(121, 130), minutes(140, 200)))
    assert spans_of(presence.absences) == [
        ("before_first", minutes(-4000, 100)),
        ("hole", minutes(120, 121)),
        ("quiet", minutes(130, 140)),
    ]
    assert again.missing == (minutes(-4000, 100), minutes(120, 200))


async def longest_turn(work) -> tuple[float, object]:
    """How long the loop was at work at most before it came to others while `work` was done, and what that gave.

    In CPU time of its thread: what other programs on this machine do is no matter of ours.
    """
    longest, running = 0.0, True

    async def watch():
        nonlocal longest
        at_s = time.thread_time()
        while running:
            await asyncio.sleep(0)
            now_s = time.thread_time()
            longest, at_s = max(longest, now_s - at_s), now_s

    watching = asyncio.create_task(watch())
    await asyncio.sleep(0)
    try:
        return_value = await work
    finally:
        running = False
        await watching
    return longest, return_value


def test_five_years_before_a_first_candle_are_one_row_and_never_block_the_loop(use, series, deliver):
    before_first = Absence(FIVE_YEARS, "before_first", START, "the venue's first candle is later")
    wanted = TimeRange(FIVE_YEARS.start_ms, START + DAY_MS)

    async def work(store):
        await store.write([deliver(series, 1440)])
        written_s, _ = await longest_turn(store.write([Delivery(series, None, [before_first])]))
        planned_s, presence = await longest_turn(take_stock(store, series, wanted))
        return max(written_s, planned_s), presence, list(await store.absence_counts())

    lag_s, presence, counts = use(work)

    assert (presence.stored, presence.missing, list(presence.absences)) == (1440, (), [before_first])
    assert counts == [AbsenceCount("binance", "before_first", 1, START, START)]
    assert lag_s < LAG_S
