"""Candles in columns are candles like any other."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laklak.archives import ARCHIVES
from laklak.archives.csv import read_csv
from laklak.archives.table import CandleTable
from laklak.model.candles import CandleBatch
from laklak.model.series import MINUTE_MS, Series, TimeRange
from laklak.stores import open_store
from laklak.stores.base import Delivery
from laklak.stores.influx.lines import candle_lines

BINANCE = ARCHIVES["binance"]
DAY = BINANCE.day_file(Series.parse("binance:币安人生USDT:1m"), 1_772_064_000_000)
START = DAY.span.start_ms
KEY = "binance_ohlc,exchange=binance,symbol=币安人生USDT,timeframe=1m"


def table_of(minutes):
    rows = [
        f"{time},1{m}.0,2{m}.50,0.1{m},1{m}.000000001,{m}.30,{time + MINUTE_MS - 1},0,0,0,0,0\n"
        for m, time in ((m, START + m * MINUTE_MS) for m in minutes)
    ]
    return read_csv("".join(rows).encode(), DAY, BINANCE).candles


def batch_of(table):
    return CandleBatch(table.series, list(table.open_times), table.texts, table.values)


def same(one, other):
    return (
        (one.series, list(one.open_times)) == (other.series, list(other.open_times))
        and [list(column) for column in one.texts] == [list(column) for column in other.texts]
        and [list(column) for column in one.values] == [list(column) for column in other.values]
    )


minutes = st.sets(st.integers(0, 60), min_size=1).map(sorted)
parts = st.lists(st.tuples(st.integers(-5, 65), st.integers(1, 9)), max_size=6)


@given(minutes, parts)
def test_a_table_keeps_of_itself_what_a_batch_keeps(held, wanted):
    table = table_of(held)
    ranges = [TimeRange(START + first * MINUTE_MS, START + (first + count) * MINUTE_MS) for first, count in wanted]

    kept = table.only(ranges)

    assert isinstance(kept, CandleTable)
    assert len(kept) == len(kept.open_times)
    assert same(kept, batch_of(table).only(ranges))


@given(minutes, st.integers(0, 70), st.one_of(st.none(), st.integers(0, 70)))
def test_a_table_is_written_as_a_batch_is(held, start, stop):
    table = table_of(held)

    assert candle_lines(table, KEY, start, stop) == candle_lines(batch_of(table), KEY, start, stop)


def test_a_line_of_a_table_carries_the_digits_of_the_file():
    assert candle_lines(table_of([7]), KEY).decode() == (
        f"{KEY} open=17.0,high=27.50,low=0.17,close=17.000000001,volume=7.30 {START + 7 * MINUTE_MS}\n"
    )


def test_a_key_is_taken_as_it_is():
    assert candle_lines(table_of([7]), "m,s=%s{0}{open}\\ $1").startswith(b"m,s=%s{0}{open}\\ $1 open=17.0,")


def test_an_empty_table_is_nothing():
    empty = table_of([1]).only([])

    assert (len(empty), list(empty.open_times), bool(empty)) == (0, [], False)
    assert candle_lines(empty, KEY) == b""
    assert [[list(column) for column in columns] for columns in (empty.texts, empty.values)] == [[[]] * 5] * 2
    assert len(empty.only([DAY.span])) == 0


def test_times_without_a_gap_are_not_held_one_by_one():
    assert table_of(range(5, 20)).open_times == range(START + 5 * MINUTE_MS, START + 20 * MINUTE_MS, MINUTE_MS)
    assert table_of([1, 2, 4]).open_times == [START + m * MINUTE_MS for m in (1, 2, 4)]


def test_nothing_is_copied_when_everything_is_wanted():
    table = table_of(range(10))

    assert table.only([DAY.span]) is table


@pytest.mark.parametrize("held", [range(1, 50), [1, 2, 9, 30]])
def test_a_store_takes_a_table(tmp_path, held):
    table = table_of(held)

    async def write_and_read():
        async with open_store(f"sqlite:///{tmp_path}/candles.db") as store:
            await store.write([Delivery(table.series, table)])
            return await store.read(table.series, DAY.span)

    stored = asyncio.run(write_and_read())

    assert list(stored.open_times) == list(table.open_times)
    assert [list(column) for column in stored.values] == [list(column) for column in table.values]
