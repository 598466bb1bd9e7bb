"""Every stored value is float(text), bit for bit: SQLite never sees a decimal."""

from __future__ import annotations

import asyncio
import sqlite3
import struct
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thoroughness import examples

from laklak.model.candles import CandleBatch
from laklak.model.series import MINUTE_MS, Series, TimeRange
from laklak.stores import open_store
from laklak.stores.base import Delivery
from laklak.stores.sqlite import write as sqlite_write

SERIES = Series.parse("binance:BTCUSDT:1m")

whole = st.one_of(st.just("0"), st.from_regex(r"[1-9][0-9]{0,18}", fullmatch=True))
decimals = st.one_of(
    st.builds("{}.{}".format, whole, st.from_regex(r"[0-9]{1,18}", fullmatch=True)),
    st.from_regex(r"0\.0{4,12}[0-9]{1,6}", fullmatch=True),
    whole,
)
rows = st.lists(st.tuples(*[decimals] * 5), min_size=1, max_size=200)


def bits(value: float) -> bytes:
    return struct.pack("<d", value)


@settings(max_examples=examples(60))
@given(rows)
def test_a_stored_value_is_the_float_of_its_text(tmp_path_factory, texts):
    columns = tuple(map(list, zip(*texts, strict=True)))
    values = tuple([float(text) for text in column] for column in columns)
    batch = CandleBatch(SERIES, [i * MINUTE_MS for i in range(len(texts))], columns, values)
    path = tmp_path_factory.mktemp("values") / "candles.db"

    async def main():
        async with open_store(str(path)) as store:
            await store.write([Delivery(SERIES, batch)])
            return await store.read(SERIES, TimeRange(0, 10**12))

    read = asyncio.run(main())
    with closing(sqlite3.connect(path)) as connection:
        seen = connection.execute("SELECT open, high, low, close, volume FROM candles ORDER BY open_time").fetchall()
        kinds = connection.execute("SELECT DISTINCT typeof(open), typeof(volume) FROM candles").fetchall()

    expected = [[bits(float(text)) for text in row] for row in texts]
    assert [[bits(value) for value in row] for row in seen] == expected
    assert [[bits(value) for value in row] for row in zip(*read.values, strict=True)] == expected
    assert kinds == [("real", "real")]


@settings(max_examples=examples(40))
@given(
    st.lists(st.tuples(st.sampled_from(["BTCUSDT", "ETHUSDT"]), st.integers(0, 11)), max_size=8),
    st.integers(0, 4).map(lambda power: 1 << power),
)
def test_deliveries_of_any_size_are_stored_whole_whatever_a_statement_holds(tmp_path_factory, sizes, statement):
    deliveries, expected = [], {"BTCUSDT": [], "ETHUSDT": []}
    for number, (symbol, count) in enumerate(sizes):
        rows = [(number * 1000 + i, *(number + i / 7 + column for column in range(5))) for i in range(count)]
        expected[symbol] += rows
        times, *values = zip(*rows, strict=True) if rows else [()] * 6
        series = Series.parse(f"binance:{symbol}:1m")
        batch = CandleBatch(series, [time * MINUTE_MS for time in times], ((),) * 5, tuple(values))
        deliveries.append(Delivery(series, batch))
    path = tmp_path_factory.mktemp("sizes") / "candles.db"

    async def main():
        async with open_store(str(path)) as store:
            await store.write(deliveries)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite_write, "ROWS_PER_STATEMENT", statement)
        asyncio.run(main())
    for symbol, rows in expected.items():
        with closing(sqlite3.connect(path)) as connection:
            stored = connection.execute(
                "SELECT open_time / 60000, open, high, low, close, volume FROM candles"
                " WHERE symbol = ? ORDER BY open_time",
                [symbol],
            ).fetchall()
        assert stored == rows
