"""The tables a person sees: read, repaired and asked by the stock sqlite3 module, also while a store is written."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from laklak.model.absences import Absence
from laklak.model.account import Account
from laklak.model.records import RunRecord
from laklak.model.series import DAY_MS, MINUTE_MS, Interval, Series, TimeRange
from laklak.stores import open_store
from laklak.stores.base import Delivery

MINUTE = Interval.parse("1m")

START = 1_767_225_600_000
DAYS = TimeRange(START, START + 3 * DAY_MS)
ETHER = Series.parse("binance:ETHUSDT:1m")


@pytest.fixture
def person(path, series, deliver) -> Iterator[sqlite3.Connection]:
    """A stock connection to a store with 100 candles of two series, a hole and a rejected row."""
    hole = Absence.at(MINUTE, START - MINUTE_MS, "hole", START, "two complete answers lack it")
    rejected = Absence.at(MINUTE, START - 2 * MINUTE_MS, "rejected", START, "high below low", "[1]")

    async def main():
        async with open_store(str(path)) as store:
            await store.write(
                [deliver(series, 100), deliver(ETHER, 100, seed=1), Delivery(series, None, [hole, rejected])]
            )

    asyncio.run(main())
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


def test_candles_show_names_numbers_and_readable_times(person, series, deliver):
    row = person.execute("SELECT * FROM candles WHERE symbol = 'BTCUSDT' ORDER BY open_time LIMIT 1")
    expected = [column[0] for column in deliver(series, 100).candles.values]

    assert [name for name, *_ in row.description] == [
        *("venue", "symbol", "interval", "open_time", "time", "open", "high", "low", "close", "volume")
    ]
    assert row.fetchone() == ("binance", "BTCUSDT", "1m", START, "2026-01-01T00:00:00Z", *expected)


def test_holes_show_what_is_known_about_them(person):
    assert person.execute("SELECT * FROM laklak_holes").fetchall() == [
        ("binance", "BTCUSDT", "1m", START - 120_000, "rejected", "2026-01-01T00:00:00Z", "high below low", "[1]"),
        (
            "binance",
            "BTCUSDT",
            "1m",
            START - 60_000,
            "hole",
            "2026-01-01T00:00:00Z",
            "two complete answers lack it",
            None,
        ),
    ]


def test_a_hole_that_is_stored_after_all_is_not_shown(person):
    person.execute(
        "INSERT INTO candle SELECT id, ?, 1, 1, 1, 1, 1 FROM series WHERE symbol = 'BTCUSDT'", (START - MINUTE_MS,)
    )

    assert person.execute("SELECT kind FROM laklak_holes").fetchall() == [("rejected",)]


def test_stretches_without_candles_are_shown_and_forgotten_when_they_are_deleted(person, path, series):
    quiet = Absence(TimeRange(START - DAY_MS, START), "quiet", START, "nobody traded", sources=("rest", "archive"))

    async def write():
        async with open_store(str(path)) as store:
            await store.write([Delivery(series, None, [quiet]), Delivery(ETHER, None, [quiet])])

    async def read():
        async with open_store(str(path)) as store:
            return await store.absences(series, TimeRange(0, START)), await store.absences(ETHER, TimeRange(0, START))

    asyncio.run(write())

    rows = person.execute("SELECT * FROM laklak_absences WHERE symbol = 'BTCUSDT'").fetchall()
    days = ("2025-12-31T00:00:00Z", "2026-01-01T00:00:00Z")
    words = ("quiet", "2026-01-01T00:00:00Z", "nobody traded", "rest,archive")
    assert rows == [("binance", "BTCUSDT", "1m", START - DAY_MS, START, *days, *words)]
    person.execute("DELETE FROM laklak_absences WHERE symbol = 'BTCUSDT'")
    holes = [START - 2 * MINUTE_MS, START - MINUTE_MS]
    found, other = asyncio.run(read())
    assert ([one.open_time_ms for one in found], other) == (holes, [quiet])
    person.execute("DELETE FROM series WHERE symbol = 'ETHUSDT'")
    assert person.execute("SELECT count(*) FROM absent_span").fetchall() == [(0,)]


def test_deleted_holes_are_forgotten(person, path, series):
    person.execute("DELETE FROM laklak_holes WHERE kind = 'hole'")

    async def main():
        async with open_store(str(path)) as store:
            return [absence.kind for absence in await store.absences(series, TimeRange(0, START))]

    assert asyncio.run(main()) == ["rejected"]


def test_deleted_candles_are_missing(person, path, series):
    person.execute(
        "DELETE FROM candles WHERE symbol = 'BTCUSDT'"
        " AND time BETWEEN '2026-01-01T00:10:00Z' AND '2026-01-01T00:19:00Z'"
    )

    async def main():
        async with open_store(str(path)) as store:
            return await store.count(series, DAYS), await store.count(ETHER, DAYS)

    assert asyncio.run(main()) == (90, 100)


def test_values_can_be_changed_and_stay_floats(person):
    person.execute(
        "UPDATE candles SET close = 7, volume = volume * 2 WHERE symbol = 'BTCUSDT' AND open_time = ?", (START,)
    )

    row = person.execute("SELECT close, typeof(close) FROM candles WHERE close = 7").fetchall()
    assert row == [(7.0, "real")]


def test_changing_one_candle_leaves_the_others_alone(person):
    before = person.execute("SELECT * FROM candles WHERE open_time != ?", (START,)).fetchall()

    person.execute(
        "UPDATE candles SET open = 1.5, high = 2, low = 1 WHERE open_time = ? AND symbol = 'BTCUSDT'", (START,)
    )

    assert person.execute("SELECT * FROM candles WHERE open_time != ?", (START,)).fetchall() == before


@pytest.mark.parametrize("value", ["'abc'", "'12,5'", "NULL", "x'00'", "9e999", "-9e999"])
@pytest.mark.parametrize("column", ["open", "high", "low", "close", "volume"])
def test_what_is_no_number_is_refused(person, column, value):
    with pytest.raises(sqlite3.IntegrityError, match="must be finite numbers"):
        person.execute(f"UPDATE candles SET {column} = {value} WHERE open_time = {START}")


@pytest.mark.parametrize(
    "change", ["venue = 'x'", "symbol = 'x'", "interval = '5m'", "open_time = 0", "time = '2026'", "symbol = NULL"]
)
def test_what_says_which_candle_it_is_cannot_be_changed(person, change):
    with pytest.raises(sqlite3.IntegrityError, match="only open, high, low, close and volume"):
        person.execute(f"UPDATE candles SET {change} WHERE open_time = {START}")


def test_a_refused_change_changes_nothing(person):
    before = person.execute("SELECT * FROM candles").fetchall()

    with pytest.raises(sqlite3.IntegrityError):
        person.execute("UPDATE candles SET close = CASE WHEN symbol = 'ETHUSDT' THEN 'x' ELSE 1.0 END")

    assert person.execute("SELECT * FROM candles").fetchall() == before


def test_a_deleted_series_takes_its_candles_and_holes_along(person):
    person.execute("DELETE FROM series WHERE symbol = 'BTCUSDT'")

    assert person.execute("SELECT count(*) FROM candle").fetchone() == (100,)
    assert person.execute("SELECT count(*) FROM absence").fetchone() == (0,)


def test_a_deleted_series_can_be_written_again(path, person, series, deliver):
    async def main():
        async with open_store(str(path)) as store:
            await store.write([deliver(series, 1)])
            person.execute("DELETE FROM series WHERE symbol = 'BTCUSDT'")
            await store.write([deliver(series, 5)])
            return await store.count(series, DAYS), await store.count(ETHER, DAYS)

    assert asyncio.run(main()) == (5, 100)


@pytest.mark.parametrize(
    ("view", "where", "used"),
    [
        (
            "candles",
            "symbol = 'X' AND open_time BETWEEN 1 AND 2",
            "PRIMARY KEY (series_id=? AND open_time>? AND open_time<?)",
        ),
        ("candles", "venue = 'v' AND symbol = 'X' AND interval = '1m'", "PRIMARY KEY (series_id=?)"),
        ("candles", "open_time = 1", "PRIMARY KEY (series_id=? AND open_time=?)"),
        ("laklak_holes", "open_time BETWEEN 1 AND 2", "PRIMARY KEY (series_id=? AND open_time>? AND open_time<?)"),
    ],
)
def test_the_views_search_by_primary_key(person, view, where, used):
    plan = [row[3] for row in person.execute(f"EXPLAIN QUERY PLAN SELECT * FROM {view} WHERE {where}")]

    assert any(used in step for step in plan), plan


def test_candles_off_the_grid_are_shown_but_not_counted(person, path, series):
    person.execute("INSERT INTO candle SELECT id, ?, 1, 1, 1, 1, 1 FROM series WHERE symbol = 'BTCUSDT'", (START + 1,))

    async def main():
        async with open_store(str(path)) as store:
            return (
                await store.count(series, DAYS),
                await store.count_by_day(series, DAYS),
                len(await store.open_times(series, DAYS)),
            )

    assert person.execute("SELECT count(*) FROM candles WHERE symbol = 'BTCUSDT'").fetchone() == (101,)
    assert asyncio.run(main()) == (100, {START: 100}, 100)


def test_a_person_can_read_and_repair_while_the_store_is_written(path, series, deliver):
    async def main():
        async with open_store(str(path)) as store, asyncio.TaskGroup() as tasks:
            await store.write([deliver(series, 1000)])
            writing = tasks.create_task(write_on(store))
            seen = await asyncio.to_thread(repair, lambda: not writing.done())
        return seen

    async def write_on(store):
        for i in range(40):
            await store.write([deliver(ETHER, 1000, start_ms=START + i * 1000 * MINUTE_MS)])

    def repair(going_on):
        rounds = 0
        with closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as connection:
            while (going_on() or not rounds) and rounds < 500:
                whole, ether = connection.execute("SELECT count(*), total(symbol = 'ETHUSDT') FROM candles").fetchone()
                assert whole - ether == 1000 - rounds
                assert ether % 1000 == 0
                minute = START + rounds * MINUTE_MS
                connection.execute(
                    "UPDATE candles SET volume = 1 WHERE symbol = 'BTCUSDT' AND open_time = ?", (minute,)
                )
                connection.execute("DELETE FROM candles WHERE symbol = 'BTCUSDT' AND open_time = ?", (minute,))
                rounds += 1
        return rounds

    assert asyncio.run(main()) >= 1
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM candles WHERE symbol = 'ETHUSDT'").fetchone() == (40_000,)


def test_one_row_is_kept_for_each_run(path, person):
    run = RunRecord(START, START + 5500, "1.0", START, DAYS.end_ms, "1m", 2, Account(8640, 10, 8629, 1), 9, 45, 0, None)
    failed = RunRecord(START, START, "1.0", START, START, "1m", 0, Account(), 0, 0, 75, "banned")

    async def main():
        async with open_store(str(path)) as store:
            await store.record_run(run)
            await store.record_run(failed)

    asyncio.run(main())

    rows = person.execute(
        "SELECT started_at, ended_at, range_start, range_end, series, wanted, stored_before, stored_after, written,"
        " holes, rejected, missing, requests, weight, result, exit_code, error FROM laklak_runs ORDER BY id"
    ).fetchall()
    first, last = "2026-01-01T00:00:00Z", "2026-01-04T00:00:00Z"
    assert rows == [
        (first, "2026-01-01T00:00:05Z", first, last, 2, 8640, 10, 8639, 8629, 1, 0, 0, 9, 45, "complete", 0, None),
        (first, first, first, first, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, "try later", 75, "banned"),
    ]
