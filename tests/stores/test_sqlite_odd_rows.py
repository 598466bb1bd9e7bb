"""What people put into the table `candle` with SQL is a candle only if it is one: finite numbers on the grid."""

from __future__ import annotations

import asyncio
import math
import sqlite3
from contextlib import closing

import pytest

from laklak.model.absences import Absence
from laklak.model.series import DAY_MS, MINUTE_MS, Interval, Series, TimeRange, iso
from laklak.sources.store import PART_MINUTES
from laklak.stores import open_store
from laklak.stores.base import Delivery
from laklak.stores.coverage import take_stock

MINUTE = Interval.parse("1m")

START = 1_767_225_600_000
DAYS = TimeRange(START, START + 3 * DAY_MS)
HOUR = Series.parse("binance:BTCUSDT:1h")
COLUMNS = ("open", "high", "low", "close", "volume")


def sql(path, statement, *parameters):
    with closing(sqlite3.connect(path)) as connection, connection:
        return connection.execute(statement, parameters).fetchall()


def put(path, time_ms, **values):
    """Insert a row as people do, of series 1."""
    cells = [values.get(name, 1.0) for name in COLUMNS]
    sql(path, "INSERT OR REPLACE INTO candle VALUES (1, ?, ?, ?, ?, ?, ?)", time_ms, *cells)


def ask(path, work):
    async def main():
        async with open_store(str(path)) as store:
            return await work(store)

    return asyncio.run(main())


async def all_answers(store, series, span=DAYS):
    """What every way of asking says is held: as open_times, or how many."""
    return (
        await store.count(series, span),
        sum((await store.count_by_day(series, span)).values()),
        await store.open_times(series, span),
        list((await store.read(series, span)).open_times),
        list((await store.read(series, span, last=10_000)).open_times),
    )


@pytest.fixture
def filled(path, series, deliver):
    """A store of ten minutes."""
    ask(path, lambda store: store.write([deliver(series, 10)]))
    return path


NO_NUMBERS = ["abc", "", b"\x00", b"1.5", math.inf, -math.inf]


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("value", NO_NUMBERS, ids=repr)
def test_a_row_without_five_finite_numbers_is_not_held(filled, series, column, value):
    put(filled, START + 3 * MINUTE_MS, **{column: value})

    left = [START + i * MINUTE_MS for i in range(10) if i != 3]
    assert ask(filled, lambda store: all_answers(store, series)) == (9, 9, left, left, left)
    presence = ask(filled, lambda store: take_stock(store, series, TimeRange(START, START + 10 * MINUTE_MS)))
    assert presence.missing == presence.not_whole == (TimeRange(START + 3 * MINUTE_MS, START + 4 * MINUTE_MS),)


@pytest.mark.parametrize("value", [7, "7", 0, -0.0, 1.7976931348623157e308, -1.7976931348623157e308, 5e-324])
def test_whatever_becomes_a_finite_number_is_one(filled, series, value):
    put(filled, START + 3 * MINUTE_MS, open=value, volume=value)

    assert ask(filled, lambda store: all_answers(store, series))[0] == 10


@pytest.mark.parametrize("off_ms", [1, 17_000, 59_999, 0.5, 30_000.25])
def test_a_row_off_the_grid_is_a_stray_and_stands_in_for_nothing(filled, series, off_ms):
    sql(filled, "UPDATE candle SET open_time = ? WHERE open_time = ?", START + 3 * MINUTE_MS + off_ms, START + 180_000)

    left = [START + i * MINUTE_MS for i in range(10) if i != 3]
    assert ask(filled, lambda store: all_answers(store, series)) == (9, 9, left, left, left)
    presence = ask(filled, lambda store: take_stock(store, series, TimeRange(START, START + 10 * MINUTE_MS)))
    assert presence.missing == (TimeRange(START + 3 * MINUTE_MS, START + 4 * MINUTE_MS),)
    assert (presence.not_whole, presence.strays.count) == ((), 1)
    assert presence.strays.first_ns == int((START + 3 * MINUTE_MS + off_ms) * 1_000_000)


def test_a_minute_is_off_the_grid_of_an_hour(path, deliver):
    ask(path, lambda store: store.write([deliver(HOUR, 48)]))
    put(path, START + 5 * MINUTE_MS)

    assert ask(path, lambda store: all_answers(store, HOUR))[0] == 48
    presence = ask(path, lambda store: take_stock(store, HOUR, DAYS))
    assert (presence.stored, presence.strays.count) == (48, 1)


@pytest.mark.parametrize("time", ["2026-01-01T00:03:00Z", "x", b"1767225600000"], ids=repr)
def test_a_text_for_a_time_is_a_stray_and_stops_nothing(filled, series, time):
    put(filled, time)

    async def work(store):
        return await store.describe(), await store.holdings(), await take_stock(store, series, DAYS)

    info, holdings, presence = ask(filled, work)
    assert "2026-01-01T00:00Z to 2026-01-01T00:10Z" in info.holds
    assert holdings == {series: TimeRange(START, START + 10 * MINUTE_MS)}
    assert (presence.stored, presence.strays.count, presence.strays.first_ns) == (10, 1, None)


def test_the_statement_removes_the_strays_of_that_series_and_range_alone(path, deliver):
    odd, other = Series.parse("binance:X=F行情:1m"), Series.parse("binance:BTCUSDT:1m")
    ask(path, lambda store: store.write([deliver(odd, 10), deliver(other, 10)]))
    ids = dict(sql(path, "SELECT symbol, id FROM series"))
    strays = [START + 17_000, START + 60_000.5, "2026-01-01"]
    rest = [(ids[other.symbol], START + 17_000), (ids[odd.symbol], DAYS.end_ms + 17_000)]
    for time_ms in strays:
        sql(path, "INSERT INTO candle VALUES (?, ?, 1, 1, 1, 1, 1)", ids[odd.symbol], time_ms)
    for number, time_ms in rest:
        sql(path, "INSERT INTO candle VALUES (?, ?, 1, 1, 1, 1, 1)", number, time_ms)
    before = set(sql(path, "SELECT series_id, open_time FROM candle"))

    told = ask(path, lambda store: store.odd(odd, DAYS)).strays
    assert told.count == 3
    for statement in told.statements:
        sql(path, statement)

    gone = before - set(sql(path, "SELECT series_id, open_time FROM candle"))
    assert gone == {(ids[odd.symbol], time_ms) for time_ms in strays}
    assert ask(path, lambda store: store.odd(odd, DAYS)).strays.count == 0


def test_a_candle_that_is_written_mends_the_row(filled, series, deliver):
    put(filled, START + 3 * MINUTE_MS, close="abc")

    async def work(store):
        await store.write([deliver(series, 10)])
        return await all_answers(store, series), await store.odd(series, DAYS)

    answers, odd = ask(filled, work)
    assert (answers[0], list(odd.not_whole), odd.strays.count) == (10, [], 0)


def test_a_row_that_is_no_candle_ends_no_absence(filled, series, deliver):
    hole = Absence.at(MINUTE, START + 12 * MINUTE_MS, "hole", START, "two complete answers lack it")
    ask(filled, lambda store: store.write([Delivery(series, None, [hole])]))
    put(filled, hole.open_time_ms, low=math.inf)

    async def work(store):
        before = await store.absences(series, DAYS)
        await store.write([deliver(series, 20, start_ms=START - 8 * MINUTE_MS)])
        await store.write([Delivery(series, None, [hole])])
        return before, await store.absences(series, DAYS), await take_stock(store, series, DAYS)

    before, after, presence = ask(filled, work)
    assert before == after == [hole]
    assert presence.not_whole == ()
    assert sql(filled, "SELECT open_time FROM laklak_holes") == [(hole.open_time_ms,)]


def test_copy_is_given_what_is_not_whole_as_it_is(filled, series):
    put(filled, START + 3 * MINUTE_MS, open="abc", volume=math.inf)
    put(filled, START + 4 * MINUTE_MS, low=b"\x01")

    columns = ask(filled, lambda store: store.read(series, TimeRange(START, START + PART_MINUTES), whole=False))

    assert list(columns.open_times) == [START]
    columns = ask(filled, lambda store: store.read(series, DAYS, whole=False))
    assert len(columns.open_times) == 10
    assert (math.isnan(columns.values[0][3]), columns.values[4][3]) == (True, math.inf)
    assert math.isnan(columns.values[2][4])


def test_a_check_names_the_rows_that_are_no_candles_and_what_removes_them_and_nothing_else(filled, series):
    async def look(store):
        return [finding for finding in await store.examine() if finding.verdict == "warning"]

    assert ask(filled, look) == []
    put(filled, START + 3 * MINUTE_MS, open="abc")
    put(filled, START + 5 * MINUTE_MS, close=math.inf)
    put(filled, START + 17_000)
    put(filled, "yesterday")

    (finding,) = ask(filled, look)

    assert finding.text == (
        f"{series}: 4 rows of the table candle are no candles, {iso(START + 17_000)} to {iso(START + 5 * MINUTE_MS)}: "
        "without five finite numbers, or between two minutes"
    )
    assert finding.facts["odd_rows"] == 4
    assert finding.facts["statement"] in finding.hint
    sql(filled, finding.facts["statement"])
    assert ask(filled, look) == []
    assert sql(filled, "SELECT count(*) FROM candle") == [(8,)]


def test_a_check_names_whole_minutes_off_a_longer_grid_and_what_removes_them_and_nothing_else(path, deliver):
    ask(path, lambda store: store.write([deliver(HOUR, 10)]))

    async def look(store):
        return [finding for finding in await store.examine() if finding.verdict == "warning"]

    assert ask(path, look) == []
    put(path, START + 17 * MINUTE_MS)
    put(path, START + 61 * MINUTE_MS)

    (finding,) = ask(path, look)

    span = f"{iso(START + 17 * MINUTE_MS)} to {iso(START + 61 * MINUTE_MS)}"
    assert finding.text == f"{HOUR}: 2 rows of the table candle off the grid of 1h, {span}: no candles"
    assert finding.facts["off_grid"] == 2
    assert finding.facts["statement"] in finding.hint
    sql(path, finding.facts["statement"])
    assert ask(path, look) == []
    assert sql(path, "SELECT count(*) FROM candle") == [(10,)]


def test_a_file_without_the_index_is_counted_all_the_same(filled, series):
    put(filled, START + 3 * MINUTE_MS, open="abc")
    sql(filled, "DROP INDEX candle_odd")

    assert ask(filled, lambda store: all_answers(store, series))[0] == 9


def test_a_file_of_the_first_version_is_looked_through_once(path, series):
    from laklak.stores.sqlite.schema import APPLICATION_ID, MIGRATIONS

    with closing(sqlite3.connect(path)) as connection:
        for statement in (*MIGRATIONS[0], f"PRAGMA application_id = {APPLICATION_ID}", "PRAGMA user_version = 1"):
            connection.execute(statement)
        connection.execute("INSERT INTO series VALUES (1, 'binance', 'BTCUSDT', '1m')")
        connection.commit()
    put(path, START)
    put(path, START + MINUTE_MS, close="abc")

    assert ask(path, lambda store: all_answers(store, series))[0] == 1
    assert sql(path, "SELECT count(*) FROM sqlite_master WHERE name = 'candle_odd'") == [(1,)]
