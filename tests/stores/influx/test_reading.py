"""Reading and counting: exactly the points that are candles of the series, whatever else lies beside them."""

from __future__ import annotations

import asyncio
import re

import pytest

from laklak.model.absences import Absence
from laklak.model.series import DAY_MS, MINUTE_MS, Interval, Series, TimeRange
from laklak.stores.base import Delivery
from laklak.stores.coverage import survey

MINUTE = Interval.parse("1m")

START = 1_767_225_600_000
DAYS = TimeRange(START, START + 3 * DAY_MS)
LINE = "binance_ohlc,exchange=binance,symbol=BTCUSDT,timeframe=1m open=1,high=1,low=1,close=1,volume=1"


def hole(minute, confirmed_at=START + DAY_MS):
    return Absence.at(MINUTE, START + minute * MINUTE_MS, "hole", confirmed_at, "two complete answers lack it")


# Points that are no candles of ours


def test_points_with_more_tags_are_not_counted(use, box, series, deliver):
    use(lambda store: store.write([deliver(series, 10)]))
    box.put(LINE.replace(",symbol", ",source=old,symbol") + f" {START + 20 * MINUTE_MS}\n")

    async def work(store):
        return (
            await store.count(series, DAYS),
            await store.count_by_day(series, DAYS),
            len(await store.open_times(series, DAYS)),
            len((await store.read(series, DAYS)).open_times),
            len((await store.read(series, DAYS, last=20)).open_times),
        )

    assert use(work) == (10, {START: 10}, 10, 10, 10)


def test_points_with_fewer_tags_are_not_counted(use, box, series):
    box.put(LINE.replace(",timeframe=1m", "") + f" {START}\n")

    assert use(lambda store: store.count(series, DAYS)) == 0


@pytest.mark.parametrize("off_ms", [1, 30_000, 59_999])
def test_a_point_off_the_grid_does_not_stand_in_for_a_missing_minute_at_an_edge(use, box, series, deliver, off_ms):
    span = TimeRange(START, START + 11 * MINUTE_MS)
    use(lambda store: store.write([deliver(series, 10)]))
    box.put(f"{LINE} {START + 10 * MINUTE_MS + off_ms}\n")

    async def work(store):
        return (
            await store.count(series, span),
            await store.count_by_day(series, span),
            await survey(store, series, span),
        )

    count, by_day, presence = use(work)
    assert (count, by_day) == (10, {START: 10})
    assert presence.missing == (TimeRange(START + 10 * MINUTE_MS, span.end_ms),)


def test_points_off_the_grid_beside_a_full_day_are_seen_through(use, box, series, deliver):
    # One minute more than can be: so timestamps are looked at.
    span = TimeRange(START, START + DAY_MS)
    use(lambda store: store.write([deliver(series, 1440)]))
    box.put("".join(f"{LINE} {START + i * MINUTE_MS + 30_000}\n" for i in range(3)))

    async def work(store):
        return await store.count(series, span), await store.count_by_day(series, span)

    assert use(work) == (1440, {START: 1440})


def test_a_day_with_more_points_than_minutes_is_counted_by_its_timestamps(use, box, series, deliver):
    use(lambda store: store.write([deliver(series, 1440)]))
    box.put(f"{LINE} {START + 30_000}\n")

    assert use(lambda store: store.count_by_day(series, DAYS)) == {START: 1440}


def test_a_nanosecond_off_the_grid_is_off_the_grid(use, box, series):
    box.put_ns(f"{LINE} {START * 1_000_000 + 1}\n")

    async def work(store):
        return await store.count(series, DAYS), await store.open_times(series, DAYS)

    assert use(work) == (0, [])


@pytest.mark.parametrize("field", ["open", "high", "low", "close", "volume"])
def test_a_point_that_lacks_a_field_is_no_candle(use, box, series, field):
    box.put(re.sub(rf"\b{field}=1,?", "", LINE).rstrip(",") + f" {START}\n{LINE} {START + MINUTE_MS}\n")

    async def work(store):
        return (
            list((await store.read(series, DAYS)).open_times),
            list((await store.read(series, DAYS, last=2)).open_times),
            await store.open_times(series, DAYS),
            await store.count(series, DAYS),
            await store.count_by_day(series, DAYS),
        )

    candle = [START + MINUTE_MS]
    assert use(work) == (candle, candle, candle, 1, {START: 1})


def test_what_is_written_between_two_questions_is_counted(use, series, deliver):
    async def work(store):
        first = await store.count(series, DAYS)
        await store.write([deliver(series, 10)])
        return first, await store.count_by_day(series, DAYS), await store.count_by_day(series, DAYS)

    assert use(work) == (0, {START: 10}, {START: 10})


# Long ranges


@pytest.mark.parametrize("count", [25_001, pytest.param(120_001, marks=pytest.mark.long)])
def test_a_range_of_many_answers_is_read_whole(use, deliver, count):
    series = Series.parse("binance:BTCUSDT:1m")
    span = TimeRange(0, 10**15)

    async def work(store):
        await store.write([deliver(series, count)])
        columns = await store.read(series, span)
        return list(columns.open_times), columns.values[3], await store.open_times(series, span)

    times, closes, open_times = use(work)
    assert times == open_times == [START + i * MINUTE_MS for i in range(count)]
    assert list(closes) == deliver(series, count).candles.values[3]


def test_more_of_the_newest_than_there_are_is_all(use, series, deliver):
    async def work(store):
        await store.write([deliver(series, 10)])
        return list((await store.read(series, DAYS, last=99)).open_times)

    assert use(work) == [START + i * MINUTE_MS for i in range(10)]


# What is known to be absent


def test_a_hole_of_a_stored_candle_is_not_given_even_if_nobody_withdrew_it(use, box, series):
    async def work(store):
        await store.write([Delivery(series, None, [hole(1), hole(2), hole(3), hole(2000)])])
        box.put(f"{LINE} {START + 2 * MINUTE_MS}\n{LINE} {START + 2000 * MINUTE_MS}\n")
        return await store.absences(series, DAYS)

    assert use(work) == [hole(1), hole(3)]


def test_a_withdrawn_hole_does_not_come_back_when_the_candle_goes(use, box, series, deliver):
    use(lambda store: store.write([Delivery(series, None, [hole(1), hole(9)])]))
    use(lambda store: store.write([deliver(series, 5)]))
    box.erase("binance_ohlc")

    assert use(lambda store: store.absences(series, DAYS)) == [hole(9)]
    assert [kind for _, kind in box.points("laklak_holes", "kind")] == ["stored", "hole"]


def test_a_withdrawn_hole_can_be_confirmed_again(use, box, series, deliver):
    again = hole(1, START + 5 * DAY_MS)

    async def work(store):
        await store.write([Delivery(series, None, [hole(1)])])
        await store.write([deliver(series, 5)])
        box.erase("binance_ohlc")
        await store.write([Delivery(series, None, [again])])
        return await store.absences(series, DAYS)

    assert use(work) == [again]


def test_a_hole_said_again_without_its_row_has_no_row(use, series):
    rejected = Absence.at(MINUTE, START, "rejected", START, 'high "below" low\\', '["1",{"a":"b\\\\c"}]')
    plain = hole(0)

    async def work(store):
        await store.write([Delivery(series, None, [rejected])])
        first = await store.absences(series, DAYS)
        await store.write([Delivery(series, None, [plain])])
        return first, await store.absences(series, DAYS)

    assert use(work) == ([rejected], [plain])


def test_many_holes_far_apart_are_all_looked_up(use, series, deliver):
    holes = [hole(i * 500) for i in range(700)]
    span = TimeRange(START, START + 400 * DAY_MS)

    async def work(store):
        await store.write([Delivery(series, None, holes)])
        await store.write([deliver(series, 1, start_ms=hole(500 * 333).open_time_ms)])
        return await store.absences(series, span)

    assert use(work) == [one for one in holes if one != hole(500 * 333)]


def test_ten_thousand_holes_are_kept(use, series):
    holes = [hole(i) for i in range(10_001)]

    async def work(store):
        await store.write([Delivery(series, None, holes)])
        return await store.absences(series, TimeRange(START, START + 30 * DAY_MS))

    assert use(work) == holes


def test_a_series_with_a_hole_is_counted_as_settled(use, series, deliver):
    span = TimeRange(START, START + 10 * MINUTE_MS)

    async def work(store):
        await store.write([deliver(series, 5), deliver(series, 4, start_ms=START + 6 * MINUTE_MS)])
        await store.write([Delivery(series, None, [hole(5)])])
        return await survey(store, series, span)

    presence = use(work)
    assert (presence.stored, presence.absences, presence.missing) == (9, (hole(5),), ())


# What is remembered about runs and the origin


def test_the_origin_is_found_by_the_next_one(use, series, deliver):
    async def work(store):
        await store.set_origin("simulated")
        await store.write([deliver(series, 1)])

    use(work)

    assert use(lambda store: store.origin()) == "simulated"


def test_reading_many_series_at_once_is_fine(use, deliver):
    series = [Series.parse(f"binance:S{i}:1h") for i in range(60)]

    async def work(store):
        await store.write([deliver(one, 24, seed=i) for i, one in enumerate(series)])
        return await asyncio.gather(*(survey(store, one, TimeRange(START, START + DAY_MS)) for one in series))

    assert [presence.stored for presence in use(work)] == [24] * 60
