"""What every store does, whatever it is made of."""

from __future__ import annotations

import contextlib
import math
import re
import sqlite3
from dataclasses import replace
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from influx_places import Bucket, Database

from laklak.model.absences import Absence
from laklak.model.account import Account
from laklak.model.candles import CandleBatch
from laklak.model.records import GapFill, Note, RunRecord
from laklak.model.series import DAY_MS, MINUTE_MS, Interval, Series, TimeRange
from laklak.stores.base import AbsenceCount, Delivery

MINUTE = Interval.parse("1m")

START = 1_767_225_600_000
DAYS = TimeRange(START, START + 3 * DAY_MS)


def hole(minute: int) -> Absence:
    return Absence.at(MINUTE, START + minute * MINUTE_MS, "hole", START + DAY_MS, "two complete answers lack it")


def rows(delivery: Delivery) -> list[tuple[Any, ...]]:
    assert delivery.candles is not None
    return list(zip(delivery.candles.open_times, *delivery.candles.values, strict=True))


async def stored_rows(store: Any, series: Series, span: TimeRange = DAYS) -> list[tuple[Any, ...]]:
    columns = await store.read(series, span)
    return list(zip(columns.open_times, *columns.values, strict=True))


def test_what_is_written_is_read_back_bit_for_bit(use, series, deliver):
    delivery = deliver(series, 1500)

    async def work(store):
        await store.write([delivery])
        return await stored_rows(store, series)

    assert use(work) == rows(delivery)


def test_candles_that_the_store_has_packed_are_the_same_candles(use, series, deliver):
    delivery = deliver(series, 1000)

    async def work(store):
        packed = store.pack(delivery.candles)
        written = await store.write([replace(delivery, candles=packed)])
        again = await store.write([replace(delivery, candles=store.pack(packed))])
        return packed, (written.refused, again.refused), await stored_rows(store, series)

    packed, refused, stored = use(work)
    assert (refused, stored) == (({}, {}), rows(delivery))
    assert list(packed.open_times) == list(delivery.candles.open_times)
    assert [list(column) for column in packed.values] == [list(column) for column in delivery.candles.values]


def test_what_is_written_is_there_when_the_store_is_opened_again(use, series, deliver):
    use(lambda store: store.write([deliver(series, 10)]))

    assert use(lambda store: store.count(series, DAYS)) == 10


def test_writing_twice_leaves_one_candle_with_the_later_values(use, series, deliver):
    later = deliver(series, 20, seed=2)

    async def work(store):
        await store.write([deliver(series, 20, seed=1)])
        await store.write([later])
        return await stored_rows(store, series)

    assert use(work) == rows(later)


@pytest.mark.parametrize("count", [1, 2, 63, 499, 1000, 4095, 4096, 4097, 9001])
def test_a_write_of_any_size_is_stored_whole(use, series, deliver, count):
    delivery = deliver(series, count)
    span = TimeRange(START, START + 30 * DAY_MS)

    async def work(store):
        await store.write([delivery])
        return await stored_rows(store, series, span)

    assert use(work) == rows(delivery)


def test_several_series_in_one_write_are_kept_apart(use, deliver):
    names = ["binance:BTCUSDT:1m", "binance:ETHUSDT:1m", "bybit:BTCUSDT:1m", "binance:BTCUSDT:5m"]
    deliveries = {name: deliver(Series.parse(name), 5, seed=i) for i, name in enumerate(names)}

    async def work(store):
        await store.write(list(reversed(deliveries.values())))
        return {name: await stored_rows(store, Series.parse(name)) for name in names}

    assert use(work) == {name: rows(delivery) for name, delivery in deliveries.items()}


def test_deliveries_of_one_series_may_come_in_any_order(use, series, deliver):
    parts = [deliver(series, 100, start_ms=START + i * 100 * MINUTE_MS, seed=i) for i in range(5)]

    async def work(store):
        await store.write([parts[i] for i in (3, 0, 4, 2, 1)])
        return await stored_rows(store, series)

    assert use(work) == [row for part in parts for row in rows(part)]


def test_the_sums_of_a_day_are_those_of_its_candles_but_for_the_rounding(use, series, deliver):
    delivery = deliver(series, 3000)
    span = TimeRange(START + 100 * MINUTE_MS, START + 5 * DAY_MS)

    async def work(store):
        await store.write([delivery])
        return await store.sums_by_day(series, span)

    found = use(work)
    by_day = {}
    for row in rows(delivery)[100:]:
        by_day.setdefault(row[0] // DAY_MS * DAY_MS, []).append(row[1:])
    assert {day: one.rows for day, one in found.items()} == {day: len(some) for day, some in by_day.items()}
    for day, some in by_day.items():
        for column, summed in zip(zip(*some, strict=True), found[day].sums, strict=True):
            assert math.isclose(summed, math.fsum(column), rel_tol=len(some) * 2.0**-53)


def test_the_day_of_a_candle_that_contradicts_itself_is_marked_and_no_other(use, series, deliver):
    sound = deliver(series, 3 * 1440).candles
    low, volume, *between, high = zip(*map(sorted, zip(*sound.values, strict=True)), strict=True)
    values = [between[0], high, low, between[1], volume]
    values[2] = [high[i] + 1 if i == 2000 else price for i, price in enumerate(low)]
    batch = CandleBatch(series, sound.open_times, tuple([repr(one) for one in some] for some in values), tuple(values))

    async def work(store):
        await store.write([Delivery(series, batch)])
        return await store.sums_by_day(series, DAYS)

    assert [one.contradicts for one in use(work).values()] == [False, True, False]


@pytest.mark.parametrize("symbol", ["币安人生USDT", "^GSPC", "BTC=F", "1000PEPE.x", "é%_"])
def test_any_symbol_can_be_stored(use, deliver, symbol):
    series = Series.parse(f"binance:{symbol}:1m")

    async def work(store):
        await store.write([deliver(series, 3)])
        return await store.count(series, DAYS)

    assert use(work) == 3


def test_a_series_that_was_never_written_is_empty(use, series):
    async def work(store):
        columns = await store.read(series, DAYS)
        assert (list(columns.open_times), [list(c) for c in columns.values]) == ([], [[]] * 5)
        assert await store.absences(series, DAYS) == []
        assert await store.open_times(series, DAYS) == []
        assert await store.count_by_day(series, DAYS) == {}
        assert list(await store.closed_spans(series.venue, DAYS)) == []
        return await store.count(series, DAYS)

    assert use(work) == 0


def test_counts_and_times_take_the_start_and_leave_the_end(use, series, deliver):
    span = TimeRange(START + 2 * MINUTE_MS, START + 5 * MINUTE_MS)

    async def work(store):
        await store.write([deliver(series, 10)])
        return await store.count(series, span), await store.open_times(series, span)

    assert use(work) == (3, [START + i * MINUTE_MS for i in (2, 3, 4)])


def test_days_are_counted_each_and_empty_ones_left_out(use, series, deliver):
    async def work(store):
        await store.write([deliver(series, 1500), deliver(series, 7, start_ms=START + 3 * DAY_MS)])
        return await store.count_by_day(series, TimeRange(START + 60 * MINUTE_MS, START + 4 * DAY_MS))

    assert use(work) == {START: 1380, START + DAY_MS: 60, START + 3 * DAY_MS: 7}


def test_reading_the_last_few_gives_the_newest_oldest_first(use, series, deliver):
    delivery = deliver(series, 50)

    async def work(store):
        await store.write([delivery])
        columns = await store.read(series, DAYS, last=3)
        return list(zip(columns.open_times, *columns.values, strict=True))

    assert use(work) == rows(delivery)[-3:]


def test_reading_the_last_none_gives_nothing(use, series, deliver):
    async def work(store):
        await store.write([deliver(series, 50)])
        return len((await store.read(series, DAYS, last=0)).open_times)

    assert use(work) == 0


def test_absences_come_back_as_they_were_given(use, series):
    rejected = Absence.at(MINUTE, START, "rejected", START + DAY_MS, "high below low", '["1","0","2","1","5"]')
    given = [hole(7), rejected, hole(3)]

    async def work(store):
        await store.write([Delivery(series, None, given)])
        return await store.absences(series, DAYS)

    assert use(work) == [rejected, hole(3), hole(7)]


def test_absences_outside_the_span_are_not_given(use, series):
    async def work(store):
        await store.write([Delivery(series, None, [hole(1), hole(2), hole(3)])])
        return await store.absences(series, TimeRange(START + 2 * MINUTE_MS, START + 3 * MINUTE_MS))

    assert use(work) == [hole(2)]


def test_an_absence_told_again_replaces_the_first(use, series):
    again = Absence.at(MINUTE, hole(1).open_time_ms, "rejected", START + 2 * DAY_MS, "off the grid", "[1]")

    async def work(store):
        await store.write([Delivery(series, None, [hole(1)])])
        await store.write([Delivery(series, None, [again])])
        return await store.absences(series, DAYS)

    assert use(work) == [again]


def test_a_stored_candle_removes_the_absence_of_its_minute_only(use, series, deliver):
    async def work(store):
        await store.write([Delivery(series, None, [hole(0), hole(4), hole(5)])])
        await store.write([deliver(series, 5)])
        return await store.absences(series, DAYS)

    assert use(work) == [hole(5)]


def test_an_absence_inside_a_gap_of_the_candles_written_stays(use, series, deliver):
    whole = deliver(series, 5).candles
    gapped = whole.only([TimeRange(START, START + 2 * MINUTE_MS), TimeRange(START + 3 * MINUTE_MS, DAYS.end_ms)])

    async def work(store):
        await store.write([Delivery(series, None, [hole(1), hole(2), hole(3)])])
        await store.write([Delivery(series, gapped)])
        return await store.absences(series, DAYS)

    assert use(work) == [hole(2)]


def test_an_absence_is_not_recorded_where_a_candle_is_stored(use, series, deliver):
    async def work(store):
        await store.write([deliver(series, 5)])
        await store.write([Delivery(series, None, [hole(4), hole(5)])])
        return await store.absences(series, DAYS)

    assert use(work) == [hole(5)]


def test_stored_beats_absent_in_one_write_whatever_the_order(use, series, deliver):
    async def work(store):
        await store.write([Delivery(series, None, [hole(2), hole(9)]), deliver(series, 5)])
        return await store.absences(series, DAYS), await store.count(series, DAYS)

    assert use(work) == ([hole(9)], 5)


def test_an_absence_of_one_series_says_nothing_about_another(use, series, deliver):
    other = Series.parse("binance:ETHUSDT:1m")

    async def work(store):
        await store.write([Delivery(series, None, [hole(1)]), deliver(other, 5)])
        return await store.absences(series, DAYS), await store.absences(other, DAYS)

    assert use(work) == ([hole(1)], [])


def test_an_empty_write_is_fine(use, series):
    empty = CandleBatch(series, [], ((),) * 5, ((),) * 5)

    async def work(store):
        await store.write([])
        await store.write([Delivery(series, None), Delivery(series, empty)])
        return await store.count(series, DAYS)

    assert use(work) == 0


def test_the_origin_is_told_once_something_is_stored(use, series, deliver):
    async def work(store):
        before = await store.origin()
        await store.set_origin("simulated")
        announced = await store.origin()
        await store.write([deliver(series, 1)])
        return before, announced, await store.origin()

    assert use(work) == (None, None, "simulated")


def test_a_known_hole_alone_has_an_origin_too(use, series):
    async def work(store):
        await store.set_origin("real")
        await store.write([Delivery(series, None, [hole(1)])])
        return await store.origin()

    assert use(work) == "real"


def test_a_new_store_says_so(use):
    assert re.match(r"new (file|database|bucket)\b", use(lambda store: store.describe()).holds)


def test_a_store_without_candles_is_called_empty(use):
    async def nothing(store):
        return None

    use(nothing)

    assert use(lambda store: store.describe()).holds == "empty"


def test_a_store_tells_what_it_holds(use, deliver):
    async def work(store):
        await store.write([deliver(Series.parse("binance:BTCUSDT:1m"), 1440)])
        await store.write([deliver(Series.parse("binance:ETHUSDT:1h"), 48, start_ms=START - DAY_MS)])
        return await store.describe()

    info = use(work)

    assert info.holds.startswith("2 series, 1,488 candles, 2025-12-31T00:00Z to 2026-01-02T00:00Z, ")
    # A server does not tell.
    assert info.free_bytes is None or info.free_bytes > 0


@pytest.fixture
def recorded_runs(where, request):
    """Read what another program finds of runs, oldest first, without their times, and without `result`: CSV, in which a
    bucket answers, has a column of its own by that name.
    """

    def read():
        name = unquote(urlsplit(where.where).path.rpartition("/")[2])
        if where.where.startswith("influxdb2:"):
            rows = Bucket(request.getfixturevalue("influxd2"), name).rows("laklak_runs")
        elif where.where.startswith("influxdb:"):
            rows = Database(request.getfixturevalue("influxd"), name).rows("laklak_runs")
        else:
            with contextlib.closing(sqlite3.connect(where.where)) as connection:
                connection.row_factory = sqlite3.Row
                rows = [dict(row) for row in connection.execute("SELECT * FROM laklak_runs ORDER BY id")]
        return [{name: row.get(name) for name in RUN.facts if name != "result"} for row in rows]

    return read


RUN = RunRecord(START, START + 5000, "1.0", START, DAYS.end_ms, "1m", 2, Account(8647, 10, 8629, 1, 3), 9, 45, 0, None)


def test_every_run_is_recorded_with_its_account(use, recorded_runs):
    failed = replace(
        RUN, ended_ms=START + 6000, account=replace(RUN.account, written=7), exit_code=75, error="banned until tomorrow"
    )

    use(lambda store: store.record_run(RUN))
    use(lambda store: store.record_run(failed))

    # No error is nothing, or in InfluxDB a mark: texts that are empty come back in another order from 2.x.
    found = [{**row, "error": None if row["error"] in (None, "-") else row["error"]} for row in recorded_runs()]
    assert [{**row, "result": one.result} for row, one in zip(found, (RUN, failed), strict=True)] == [
        RUN.facts,
        failed.facts,
    ]


def test_runs_are_read_back_as_they_were_recorded_the_newest_first(use):
    quiet = replace(RUN.account, quiet=2)
    others = [replace(RUN, ended_ms=START + n * 1000, account=quiet, error=f"error {n}") for n in range(6, 9)]
    for run in (RUN, *others):
        use(lambda store, run=run: store.record_run(run))

    assert use(lambda store: store.runs(10)) == [*reversed(others), RUN]
    assert use(lambda store: store.runs(2)) == [others[2], others[1]]


BTC, ETH = (Series.parse(f"binance:{symbol}:1m") for symbol in ("BTCUSDT", "ETHUSDT"))


def filled(symbol, error=None, before=50.0):
    return GapFill("binance", symbol, START, DAYS.end_ms, before, 99.5 if before else None, 3, 720, error)


@pytest.fixture
def filling(use):
    """Four runs, a second apart: one that filled two series, one that filled nothing, and two that failed."""
    runs = [
        replace(RUN, fills=(filled("BTCUSDT"), filled("ETHUSDT"))),
        RUN,
        replace(RUN, exit_code=1, fills=(filled("BTCUSDT", "fetch_failed: 503", before=None), filled("ETHUSDT"))),
        replace(RUN, exit_code=1, error="unreachable", fills=(filled("*", "unreachable"),)),
    ]
    runs = [replace(run, ended_ms=START + number * 1000) for number, run in enumerate(runs)]
    for run in runs:
        use(lambda store, run=run: store.record_run(run))
    return runs


def test_what_runs_filled_is_read_back_with_them(use, filling):
    assert use(lambda store: store.runs(10)) == filling[::-1]
    assert use(lambda store: store.runs(10, failed=True)) == [filling[3], filling[2]]


def test_of_a_series_the_runs_are_read_that_filled_it_or_failed_at_its_venue(use, filling):
    eth = [filling[3], *(replace(filling[n], fills=filling[n].fills[1:]) for n in (2, 0))]
    failed = [filling[3], replace(filling[2], fills=filling[2].fills[:1])]

    assert use(lambda store: store.runs(10, series=ETH)) == eth
    assert use(lambda store: store.runs(1, series=ETH)) == eth[:1]
    assert use(lambda store: store.runs(10, series=BTC, failed=True)) == failed
    assert use(lambda store: store.runs(10, series=replace(BTC, symbol="SOLUSDT"))) == [filling[3]]
    assert use(lambda store: store.runs(10, series=replace(BTC, interval=Interval.parse("1h")))) == []


def test_what_runs_filled_is_no_candle_and_nothing_foreign(use, filling, deliver):
    before = use(lambda store: store.describe())
    assert "gap_fill" not in before.holds

    assert use(lambda store: store.holdings()) == {}
    use(lambda store: store.write([deliver(BTC, 3)]))
    assert list(use(lambda store: store.holdings())) == [BTC]


def test_runs_that_are_too_old_are_forgotten_with_what_they_filled(use, filling):
    newest = replace(RUN, ended_ms=START + 2000 + 30 * DAY_MS)

    use(lambda store: store.record_run(newest, keep_days=30))

    assert use(lambda store: store.runs(10)) == [newest, filling[3], filling[2]]
    assert use(lambda store: store.runs(10, series=ETH))[1:] == [replace(filling[2], fills=filling[2].fills[1:])]


def test_a_store_in_which_no_run_was_recorded_has_none(use):
    assert use(lambda store: store.runs(10)) == []


def test_a_store_may_be_closed_twice(use):
    async def work(store):
        await store.close()
        await store.close()

    use(work)


def test_the_newest_note_of_each_kind_is_remembered_and_a_forgotten_one_is_not(use):
    first = [
        Note("binance", "listing", '["币安人生USDT","A B=C,D"]', START, START + 5),
        Note("binance:BTCUSDT:1m", "first", '{"ms":1}', START),
        Note("binance:BTCUSDT:1m", "ended", '{"ms":2}', START),
    ]
    later = [
        Note("binance:BTCUSDT:1m", "first", '{"ms":3}', START + 7, START + 9),
        Note("binance:BTCUSDT:1m", "ended", "", START),
    ]

    async def work(store):
        await store.put_notes(first)
        before = await store.notes()
        await store.put_notes(later)
        return before, await store.notes()

    before, after = use(work)
    assert {(note.about, note.kind): note for note in before} == {(note.about, note.kind): note for note in first}
    assert {(note.about, note.kind): note for note in after} == {
        ("binance", "listing"): first[0],
        ("binance:BTCUSDT:1m", "first"): later[0],
    }


def test_a_later_note_counts_though_the_clock_was_set_back(use, monkeypatch):
    moments = iter(range(START, 0, -DAY_MS))
    monkeypatch.setattr("laklak.stores.influx.store.InfluxStore._now_ms", lambda store: next(moments))

    def said(value):
        async def work(store):
            before = [note.value for note in await store.notes()]
            await store.put_notes([Note("binance", "address", value, START)])
            return before

        return use(work)

    assert [said("1"), said("2"), said("3"), said("4")] == [[], ["1"], ["2"], ["3"]]


def test_absences_are_counted_by_venue_and_kind_until_their_candle_comes(use, deliver, series):
    other = Series.parse("twin:ETHUSDT:1h")
    times = [START + i * MINUTE_MS for i in range(4)]
    absences = [Absence.at(MINUTE, time_ms, "hole", START + 7 + i, "two") for i, time_ms in enumerate(times)]
    absences.append(
        Absence.at(MINUTE, START + 9 * MINUTE_MS, "rejected", START + 20, "a price is not above zero", "[1]")
    )

    async def work(store):
        before = list(await store.absence_counts())
        await store.write(
            [Delivery(series, None, absences), Delivery(other, None, [Absence.at(MINUTE, START, "hole", START, "")])]
        )
        await store.write([deliver(series, 1, start_ms=START + 3 * MINUTE_MS)])
        return before, sorted(await store.absence_counts(), key=str)

    assert use(work) == (
        [],
        [
            AbsenceCount("binance", "hole", 3, START + 7, START + 9),
            AbsenceCount("binance", "rejected", 1, START + 20, START + 20),
            AbsenceCount("twin", "hole", 1, START, START),
        ],
    )


def test_an_absence_keeps_what_the_venue_s_clock_said_and_when_its_file_was_asked(use, series):
    absences = [
        Absence.at(MINUTE, START, "hole", START + DAY_MS, "two complete answers lack it", None, START + 7, START + 9),
        Absence.at(MINUTE, START + MINUTE_MS, "rejected", START + DAY_MS, "a price is not above zero", "[1]"),
    ]

    async def work(store):
        await store.write([Delivery(series, None, absences)])
        return await store.absences(series, DAYS)

    assert use(work) == absences
