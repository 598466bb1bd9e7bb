"""What stands in a series and is no candle is named by a check, with what removes it, and at a bounded cost."""

from __future__ import annotations

import re

import anyio
import pytest

from laklak.model.series import DAY_MS, MINUTE_MS
from laklak.stores.influx.lines import FIELDS
from laklak.stores.influx.reader import CandleReader
from laklak.tasks.timing import StoreTiming

START = 1_767_225_600_000
CELLS = ",".join(f"{field}=1" for field in FIELDS)


def key(symbol="BTCUSDT", *more):
    return f"binance_ohlc,{','.join(['exchange=binance', *more, f'symbol={symbol}', 'timeframe=1m'])}"


def put(box, times_ms, cells=CELLS, symbol="BTCUSDT"):
    box.put("".join(f"{key(symbol)} {cells} {time_ms}\n" for time_ms in times_ms))


def found(use):
    return use(lambda store: warnings(store))


async def warnings(store):
    return [one for one in await store.examine() if one.verdict == "warning"]


def minutes(count, start_ms=START):
    return range(start_ms, start_ms + count * MINUTE_MS, MINUTE_MS)


def test_strays_are_named_with_count_range_and_statements_that_remove_just_them(use, box):
    put(box, minutes(5))
    put(box, [START + 100 * DAY_MS + 17_000, START + 200 * DAY_MS + 17_000])
    box.put_ns(f"{key()} {CELLS} {START * 1_000_000 + 1}")
    box.put(f"{key('BTCUSDT', 'source=old')} {CELLS} {START + 30_000}\n")

    (named,) = [one for one in found(use) if "off the grid" in one.text]

    assert named.text.startswith(
        "binance:BTCUSDT:1m: 3 points off the grid, 2026-01-01T00:00:00.000000001Z to 2026-07-20T00:00:17Z: "
    )
    statements = named.facts["statements"].splitlines()
    assert len(statements) == 3
    if box.kind == "1.x":
        assert all(statement in named.hint for statement in statements)
        for statement in statements:
            box.server.ask(statement, box.name)
        assert len(box.points("binance_ohlc", "close")) == 6
        assert not [one for one in found(use) if "off the grid" in one.text]


@pytest.mark.parametrize("cells", ["close=1", "open=1,high=1,low=1,volume=1"])
def test_candles_that_are_not_whole_are_named_also_where_none_has_a_close(use, box, cells):
    put(box, minutes(1440), symbol="ETHUSDT")
    put(box, minutes(3), cells)

    (named,) = found(use)

    assert named.text == (
        "binance:BTCUSDT:1m: 3 candles are not whole, 2026-01-01T00:00Z to 2026-01-01T00:02Z: "
        "they do not count as stored"
    )


def test_of_many_series_a_few_are_named_and_the_others_counted(use, box):
    for number in range(8):
        put(box, [START + 17_000, START + 18_000], symbol=f"S{number}USDT")
        put(box, minutes(3), "open=1", symbol=f"S{number}USDT")

    texts = [one.text for one in found(use)]

    assert len(texts) == 12
    assert texts[5] == "and 3 more series, 6 points off the grid: " + ", ".join(
        f"binance:S{i}USDT:1m" for i in (5, 6, 7)
    )
    assert texts[11].startswith("and 3 more series, 9 candles not whole: ")


def test_a_store_of_whole_candles_has_nothing_to_name(use, series, deliver):
    async def work(store):
        await store.write([deliver(series, 1440)])
        return await warnings(store)

    assert use(work) == []


def test_the_look_ends_in_time_and_says_how_far_it_came(use, box, monkeypatch):
    put(box, [START + 100 * DAY_MS, START + 100 * DAY_MS + 17_000])
    put(box, [START])
    odd = CandleReader.odd

    async def slow(self, series, span, **options):
        if span.start_ms < START + 60 * DAY_MS:
            await anyio.sleep_forever()
        return await odd(self, series, span, **options)

    monkeypatch.setattr(CandleReader, "odd", slow)

    *_, named, unfinished, _ = use(lambda store: store.examine(), timing=StoreTiming(points_s=2.0))

    assert "1 point off the grid" in named.text
    assert (named.verdict, unfinished.verdict) == ("warning", "ok")
    told = re.fullmatch(
        r"not all points were looked at within 2 s \((\d) of 4 months of series were\)", unfinished.text
    )
    assert told
    assert int(told.group(1)) == 2


def test_a_check_notes_nothing(use, box):
    put(box, minutes(1440))
    found(use)

    assert box.rows("laklak_seals") == []
