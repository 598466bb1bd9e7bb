"""Writing: nothing counts before the server has said so, and what it refuses is found, kept and told."""

from __future__ import annotations

import asyncio
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thoroughness import examples

from laklak.model.absences import Absence
from laklak.model.candles import CandleBatch
from laklak.model.series import DAY_MS, MINUTE_MS, Interval, Series, TimeRange
from laklak.stores.base import Delivery, Written
from laklak.stores.influx.writer import Piece, batches, halves, waves

MINUTE = Interval.parse("1m")

START = 1_767_225_600_000
DAYS = TimeRange(START, START + 3 * DAY_MS)

whole = st.one_of(st.just("0"), st.from_regex(r"[1-9][0-9]{0,18}", fullmatch=True))
decimals = st.one_of(whole, st.builds("{}.{}".format, whole, st.from_regex(r"[0-9]{1,18}", fullmatch=True)))


def rows(delivery: Delivery) -> list[tuple[float, ...]]:
    return list(zip(delivery.candles.open_times, *delivery.candles.values, strict=True))


async def stored_rows(store, series, span=DAYS):
    columns = await store.read(series, span)
    return list(zip(columns.open_times, *columns.values, strict=True))


def batch_of(series, texts, start_ms=START):
    columns = tuple([row[i] for row in texts] for i in range(5))
    times = [start_ms + i * series.interval.ms for i in range(len(texts))]
    return CandleBatch(series, times, columns, tuple(list(map(float, column)) for column in columns))


# What is stored


def test_a_stored_value_is_the_float_of_its_text(box, open_store):
    series = Series.parse("binance:BTCUSDT:1m")
    bits = struct.Struct("<d").pack
    # A few values that need all digits, or are at the edge of what a server reads as a float.
    edges = ["1e-07", "1e+22", "9007199254740993", "0.1", "2.2250738585072011", "9" * 19 + "." + "9" * 18]

    @settings(max_examples=examples(25, everyday=5))
    @given(st.lists(st.tuples(*[st.one_of(decimals, st.sampled_from(edges))] * 5), min_size=1, max_size=50))
    def check(texts):
        async def main():
            async with open_store() as store:
                await store.write([Delivery(series, batch_of(series, texts))])
                return await store.read(series, TimeRange(START, START + len(texts) * MINUTE_MS))

        read = asyncio.run(main())

        assert [list(map(bits, column)) for column in read.values] == [
            [bits(float(row[i])) for row in texts] for i in range(5)
        ]

    check()


def test_the_server_keeps_the_tags_and_float_fields_of_the_schema(use, box, deliver):
    series = Series.parse("binance:币安人生USDT:5m")
    delivery = deliver(series, 1)

    use(lambda store: store.write([delivery]))

    assert box.rows("binance_ohlc") == [
        {
            "time": START,
            "symbol": "币安人生USDT",
            "exchange": "binance",
            "timeframe": "5m",
            **dict(zip(["open", "high", "low", "close", "volume"], rows(delivery)[0][1:], strict=True)),
        }
    ]


@pytest.mark.parametrize("symbol", ["BTC=F", "A,B", "^GSPC", "=", ",", "a=b,c^d", "币安人生USDT", "ü-1_2.3:4", "100%"])
def test_symbols_with_signs_of_the_protocol_keep_apart(use, deliver, symbol):
    series, other = Series.parse(f"binance:{symbol}:1m"), Series.parse("binance:A:1m")

    async def work(store):
        await store.write([deliver(series, 3), deliver(other, 5, seed=1), Delivery(series, None, [hole(9)])])
        return await stored_rows(store, series), await store.count(other, DAYS), await store.absences(series, DAYS)

    assert use(work) == (rows(deliver(series, 3)), 5, [hole(9)])


def hole(minute):
    return Absence.at(MINUTE, START + minute * MINUTE_MS, "hole", START + DAY_MS, "two complete answers lack it")


@pytest.mark.parametrize(("lines", "packed"), [(1, False), (7, True), (5000, False), (5000, True)])
def test_all_is_stored_whatever_the_batches(use, deliver, packed, lines):
    deliveries = [deliver(Series.parse(f"binance:S{i}:1m"), 90 + i, seed=i) for i in range(4)]

    async def work(store):
        written = await store.write(deliveries)
        return written, [await stored_rows(store, delivery.series) for delivery in deliveries]

    assert use(work, gzip=packed, batch_lines=lines) == (Written(), [rows(delivery) for delivery in deliveries])


def test_of_the_same_minute_in_one_write_the_later_delivery_stays(use, series, deliver):
    parts = [deliver(series, 50, seed=1), deliver(series, 50, start_ms=START + 25 * MINUTE_MS, seed=2)]
    parts.append(deliver(series, 3, start_ms=START + 30 * MINUTE_MS, seed=3))

    async def work(store):
        await store.write(parts)
        return await stored_rows(store, series)

    expected = {row[0]: row for part in parts for row in rows(part)}
    assert use(work, batch_lines=4) == [expected[time] for time in sorted(expected)]


# What is refused


@pytest.fixture
def old_shard(box):
    """A week in which another program has kept `volume` as text: a server refuses our candles of that week only."""

    def spoil(start_ms):
        box.put(f'binance_ohlc,symbol=OTHER volume="many" {start_ms}\n')

    return spoil


def test_a_refused_candle_is_found_kept_in_the_dead_letter_and_told(use, old_shard, series, deliver, tmp_path):
    before, after = deliver(series, 40, start_ms=START - 10 * DAY_MS), deliver(series, 5)
    other = deliver(Series.parse("binance:ETHUSDT:1m"), 7, start_ms=START + 30 * DAY_MS)

    async def work(store):
        assert await store.count(series, DAYS) == 0
        old_shard(START)
        return await store.write([before, after, other])

    written = use(work)

    assert written.refused == {1: list(after.candles.open_times)}
    assert written.dead_letter == str(tmp_path / "dead.lp")
    dead = (tmp_path / "dead.lp").read_text()
    lines = [line for line in dead.splitlines() if not line.startswith("#")]
    assert [line.split(" ")[2] for line in lines] == [str(time) for time in after.candles.open_times]
    assert f"open={after.candles.texts[0][0]},high={after.candles.texts[1][0]}" in lines[0]
    assert "field type conflict" in dead


def test_all_but_the_refused_is_stored(use, box, old_shard, series, deliver):
    before, after = deliver(series, 40, start_ms=START - 10 * DAY_MS), deliver(series, 5)

    async def work(store):
        await store.count(series, DAYS)
        old_shard(START)
        await store.write([before, after])

    use(work)

    assert len(box.points("binance_ohlc", "close")) == 40


def test_a_line_that_no_server_can_read_is_found_among_the_others(use, box, series, tmp_path):
    # An infinity is no number to a server: 1.x loses the line and says dropped=0, 2.x takes none of the batch.
    bad = batch_of(series, [("1", "2", "1", "1.5", "7"), ("1", "2", "1", "inf", "7"), ("1", "2", "1", "1.5", "7")])

    written = use(lambda store: store.write([Delivery(series, bad)]))

    assert written.refused == {0: [START + MINUTE_MS]}
    assert "unable to parse" in (tmp_path / "dead.lp").read_text()
    assert box.points("binance_ohlc", "close") == [(START, 1.5), (START + 2 * MINUTE_MS, 1.5)]


def test_the_dead_letter_can_be_sent_again(use, box, old_shard, series, deliver, tmp_path):
    async def work(store):
        await store.count(series, DAYS)
        old_shard(START)
        await store.write([deliver(series, 5)])

    use(work)
    box.remove()
    box.make()

    box.put((tmp_path / "dead.lp").read_text())

    assert use(lambda store: stored_rows(store, series)) == rows(deliver(series, 5))


def test_a_dead_letter_that_cannot_be_written_is_no_obstacle(use, old_shard, series, deliver, tmp_path, caplog):
    async def work(store):
        await store.count(series, DAYS)
        old_shard(START)
        return await store.write([deliver(series, 5)])

    written = use(work, dead_letter=tmp_path / "no such folder" / "dead.lp")

    assert len(written.refused[0]) == 5
    assert "dead letter not written" in caplog.text


def test_a_hole_is_not_withdrawn_by_a_refused_candle(use, old_shard, series, deliver):
    async def work(store):
        await store.write([Delivery(series, None, [hole(2)])])
        await store.count(series, DAYS)
        old_shard(START)
        await store.write([deliver(series, 5)])
        return await store.absences(series, DAYS)

    assert use(work) == [hole(2)]


def test_what_is_written_twice_is_there_once(use, series, deliver):
    async def work(store):
        await store.write([deliver(series, 100)])
        await store.write([deliver(series, 100)])
        return await store.count(series, DAYS)

    assert use(work) == 100


# How it is cut


def piece(series_name, start, count, delivery=0):
    series = Series.parse(series_name)
    batch = batch_of(series, [("1", "1", "1", "1", "1")] * count, START + start * MINUTE_MS)
    return Piece(delivery, series_name, batch, 0, count)


shapes = st.lists(
    st.tuples(st.sampled_from(["b:A:1m", "b:B:1m"]), st.integers(0, 60), st.integers(1, 30)), min_size=1, max_size=12
)


@given(shapes, st.integers(30, 90))
def test_batches_hold_every_candle_once_and_none_too_many(given_pieces, size):
    pieces = [piece(*shape, delivery=i) for i, shape in enumerate(given_pieces)]

    made = list(batches(pieces, size))

    sizes = [sum(map(len, batch)) for batch in made]
    assert all(0 < one <= size for one in sizes)
    # The next piece would not have fitted.
    assert all(one + len(after[0]) > size for one, after in zip(sizes, made[1:], strict=False))
    assert [(p.delivery, i) for batch in made for p in batch for i in range(p.start, p.stop)] == [
        (p.delivery, i) for p in pieces for i in range(len(p))
    ]


@given(shapes)
def test_halves_are_two(given_pieces):
    batch = tuple(piece(*shape, delivery=i) for i, shape in enumerate(given_pieces))
    size = sum(map(len, batch))
    if size > 1:
        assert [sum(map(len, half)) for half in halves(batch)] == [-(-size // 2), size // 2]


@given(shapes)
def test_a_minute_is_once_in_a_wave_and_the_later_comes_later(given_pieces):
    pieces = [piece(*shape, delivery=i) for i, shape in enumerate(given_pieces)]

    made = waves(pieces)

    assert sorted(p.delivery for wave in made for p in wave) == list(range(len(pieces)))
    place = {p.delivery: number for number, wave in enumerate(made) for p in wave}
    for one in pieces:
        for other in pieces[: one.delivery]:
            if one.key == other.key and one.span.clip(other.span):
                assert place[other.delivery] < place[one.delivery]


def test_what_is_apart_is_written_at_once():
    assert len(waves([piece("b:A:1m", 0, 5), piece("b:A:1m", 5, 5), piece("b:B:1m", 0, 5)])) == 1


def test_the_dead_letter_is_absolute(open_store, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    store = open_store("influxdb://h/x", dead_letter="dead.lp")
    monkeypatch.chdir("/")

    assert Path(store._dead_letter) == tmp_path / "dead.lp"
