"""`laklak copy`: what one store has and another lacks goes over, to the last digit, and nothing else is touched."""

from __future__ import annotations

import asyncio
import math
import shlex
import struct
from pathlib import Path

import pytest
from copies import (
    BTC,
    ETH,
    HOURS,
    MINUTE_MS,
    START_MS,
    absence,
    bits,
    candles,
    content,
    copy,
    fill,
    minutes_of,
    new_name,
)
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from thoroughness import examples

from laklak.model.candles import CandleBatch
from laklak.model.revisions import Revision
from laklak.model.series import Series, TimeRange
from laklak.stores import open_store
from laklak.stores.base import Delivery

# What is copied


def test_everything_goes_over_and_a_second_copy_finds_nothing_to_do(any_pair):
    source, destination = any_pair
    fill(
        source,
        candles(BTC, [*range(2000), *range(2005, 2100)]),
        candles(ETH, range(5), 7.0),
        candles(HOURS, range(30)),
        absences=[absence(2000), absence(2001, "rejected", "high below low"), absence(2300)],
    )
    summary = copy(source, destination)
    assert (summary.exit, summary.complete, summary.series) == (0, True, 3)
    assert (summary.wanted, summary.stored_before, summary.written) == (2098 + 5 + 30, 0, 2095 + 5 + 30)
    assert (summary.holes, summary.rejected, summary.missing) == (2, 1, 0)
    assert summary.source_missing == 3 + 200
    assert content(destination) == content(source)
    assert content(source)[1][BTC][1].row == '[1, "a"]'

    again = copy(source, destination)
    assert (again.exit, again.written, again.missing) == (0, 0, 0)
    assert (again.stored_before, again.holes, again.rejected) == (2130, 2, 1)
    assert content(destination) == content(source)


def test_only_what_is_missing_is_written(pair):
    source, destination = pair
    fill(source, candles(BTC, range(3000)), absences=[absence(3000), absence(3001)])
    there = sorted({*range(3000)} - {0, 700, *range(1500, 1600), 2999})
    # Other prices: what is stored at the destination stays as it is.
    fill(destination, candles(BTC, there, price=-5.0), absences=[absence(3001)])
    summary = copy(source, destination)
    assert (summary.exit, summary.written, summary.stored_before, summary.holes) == (0, 103, 2897, 2)
    rows, absences, _ = content(destination)
    stored = {(row[0] - START_MS) // MINUTE_MS: row[1] for row in rows[BTC]}
    assert stored == {minute: (-5.0 if minute in there else 100.0) + minute for minute in range(3000)}
    assert absences[BTC] == [absence(3000), absence(3001)]


def test_a_candle_replaces_a_hole_and_a_hole_never_a_candle(pair):
    source, destination = pair
    fill(source, candles(BTC, [0, 1, 4]), absences=[absence(2), absence(3)])
    fill(destination, candles(BTC, [2, 4], price=-5.0), absences=[absence(1, "rejected"), absence(3, "rejected")])
    summary = copy(source, destination)
    assert (summary.exit, summary.written, summary.stored_before) == (0, 2, 2)
    assert (summary.holes, summary.rejected) == (0, 1)
    rows, absences, _ = content(destination)
    assert [row[1] for row in rows[BTC]] == [100.0, 101.0, -3.0, -1.0]
    assert absences[BTC] == [absence(3, "rejected")]


def test_what_only_the_destination_has_stays(pair):
    source, destination = pair
    fill(source, candles(BTC, range(10, 20)))
    fill(destination, candles(BTC, range(15), price=-5.0), candles(ETH, range(3)))
    assert copy(source, destination).written == 5
    assert minutes_of(destination) == list(range(20))
    assert minutes_of(destination, ETH) == [0, 1, 2]


def test_a_series_that_is_all_holes_goes_over(pair):
    source, destination = pair
    fill(source, candles(BTC, []), absences=[absence(minute) for minute in range(100)])
    summary = copy(source, destination)
    assert (summary.exit, summary.written, summary.holes, summary.wanted) == (0, 0, 100, 100)
    assert content(destination) == content(source)


def test_a_backfill_that_was_copied_asks_for_nothing(venue, laklak, influxd, truth, copy_sum):
    running = venue()
    symbols = ("LTCUSDT", "DOTUSDT")
    assert laklak("backfill", *symbols, "--days", "4").exit == 0
    before = len(running.hits)
    url = influxd.url(new_name())
    ended = laklak("copy", "laklak.db", url, "--json")
    answer = copy_sum(ended.json)
    assert (ended.exit, answer["written"], len(running.hits)) == (0, 11520, before)
    assert (answer["source"], answer["destination"]) == (f"sqlite:///{Path.cwd()}/laklak.db", url)
    assert (answer["start"], answer["end"]) == ("2026-02-25T00:00Z", "2026-03-01T00:00Z")
    rows = content(url)[0]
    assert {(symbol, row[0]): row[1:] for symbol in symbols for row in rows[f"binance:{symbol}:1m"]} == truth(symbols)
    again = laklak("backfill", *symbols, "--days", "4", "--store", url, "--json")
    assert (again.exit, again.json["candle_requests"], again.json["stored_before"]) == (0, 0, 11520)


def test_what_a_candle_has_taken_the_place_of_goes_over_with_it_and_only_once(any_pair):
    source, destination = any_pair
    fill(source, candles(BTC, range(3)))
    partial = (1.0, 2.0, 0.5, math.nan, 3.0)
    history = [
        Revision(START_MS + MINUTE_MS, partial, (7.0,) * 5, "rest", "repair", 1_772_400_000_000),
        Revision(START_MS + MINUTE_MS, (7.0,) * 5, (8.0,) * 5, "archive", "refetch", 1_772_400_000_001),
        Revision(START_MS + MINUTE_MS * 2, partial, (9.0,) * 5, "rest", "repair", 1_772_400_000_002),
    ]

    async def put(where, deliveries):
        async with open_store(where) as store:
            await store.write(deliveries)

    async def revised(where):
        async with open_store(where, create=False) as store:
            return [repr(one) for one in await store.revisions(Series.parse(BTC), TimeRange(0, 1 << 50))]

    asyncio.run(put(source, [Delivery(Series.parse(BTC), None, revisions=history)]))
    told = asyncio.run(revised(source))
    # As a copy leaves it that was killed after it has written what it overwrites.
    fill(destination, candles(BTC, [0]))
    asyncio.run(put(destination, [Delivery(Series.parse(BTC), None, revisions=history[:2])]))
    assert copy(source, destination).written == 2
    assert asyncio.run(revised(destination)) == told
    assert len(told) == 3


def test_symbols_of_any_letters_go_over(pair):
    source, destination = pair
    names = ["币安人生USDT", "^GSPC", "BTC=F", "A,B-C+D&E#F%20?", "A:B"]
    fill(source, *(candles(f"binance:{name}:1m", range(3), 7.0) for name in names))
    assert copy(source, destination).written == 3 * len(names)
    assert content(destination) == content(source)


def test_points_of_other_programs_are_not_copied(influxd, database, tmp_path):
    source = database()
    fill(source, candles(BTC, range(3)))
    name = source.rpartition("/")[2]
    influxd.put(f"binance_ohlc,exchange=binance,symbol=X,timeframe=1m,by=me close=1 {START_MS}\n", name)
    influxd.put(f"binance_ohlc,exchange=binance,symbol=Y,timeframe=7m close=1 {START_MS}\n", name)
    influxd.put(f"other,exchange=binance,symbol=Z,timeframe=1m close=1 {START_MS}\n", name)
    influxd.put(f"bybit_ohlc,exchange=binance,symbol=Q,timeframe=1m close=1 {START_MS}\n", name)
    summary = copy(source, tmp_path / "b.db")
    assert (summary.exit, summary.series, summary.written) == (0, 1, 3)


# Values


@pytest.fixture(params=["database", "bucket"])
def server_place(request):
    return request.getfixturevalue(request.param)


# What a venue can send: finite, and no zero with a sign.
numbers = st.floats(allow_nan=False, allow_infinity=False).map(lambda value: value or 0.0)


# A server is slow to try each number alone: few examples with many numbers each.
@settings(max_examples=examples(8, everyday=2), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(*[numbers] * 5), min_size=50, max_size=100))
@example([(1e-8, 1e22, 2.0**53 + 1, 5e-324, 1.7976931348623157e308), (0.1 + 0.2, 123456789.12345678, 1e16, 1e-5, 0.0)])
def test_every_double_survives_the_way_through_a_server_and_back(file, server_place, rows):
    first, last, between = file(), file(), server_place()
    values = tuple(zip(*rows, strict=True))
    times = [START_MS + minute * MINUTE_MS for minute in range(len(rows))]
    fill(first, CandleBatch(Series.parse(BTC), times, values, values))
    assert copy(first, between).exit == copy(between, last).exit == 0
    sent = [(time_ms, struct.pack("<5d", *row)) for time_ms, row in zip(times, rows, strict=True)]
    assert bits(last) == bits(first) == sent


def test_a_candle_that_lacks_a_number_is_named_and_the_others_go_over(influxd, database, tmp_path):
    source, destination = database(), str(tmp_path / "b.db")
    fill(source, candles(BTC, range(10)))
    key = "binance_ohlc,exchange=binance,symbol=BTCUSDT,timeframe=1m"
    influxd.put(f"{key} close=1.5 {START_MS + 10 * MINUTE_MS}\n", source.rpartition("/")[2])
    summary = copy(source, destination)
    assert (summary.exit, summary.written, summary.missing) == (1, 10, 1)
    (failed,) = summary.failed_series
    assert (failed.series, failed.reason) == (BTC, "source_unsound")
    assert minutes_of(destination) == list(range(10))


def test_rows_that_are_not_whole_are_told_with_what_they_lack_and_the_command_that_mends_them(here, venue, influxd):
    venue()
    assert here("backfill", "LTCUSDT", "--days", "1", "--store", influxd.url("unsound"), "--log-file", "none").exit == 0
    key, first_ms = "binance_ohlc,exchange=binance,symbol=LTCUSDT,timeframe=1m", START_MS + 10 * MINUTE_MS
    span = f"time >= {first_ms}ms AND time < {first_ms + 5 * MINUTE_MS}ms"
    influxd.ask(f"DELETE FROM binance_ohlc WHERE {span}", "unsound")
    for minute in range(5):
        without = "close=1,open=1,high=2" if minute else "close=1,open=1,high=2,low=1"
        influxd.put(f"{key} {without} {first_ms + minute * MINUTE_MS}\n", "unsound")
    ended = here("copy", influxd.url("unsound"), "b.db")
    assert ended.exit == 1
    (line,) = [line for line in ended.out.splitlines() if "source_unsound" in line]
    assert "5 candles: their rows in " in line
    assert "(no volume in 5, no low in 4), 2026-02-28T00:10Z to 2026-02-28T00:15Z" in line
    assert "run the same command again" not in ended.out
    assert "5 candles stay missing, however often this is run, until what is named above is mended" in ended.out

    words = shlex.split(line[line.index("laklak backfill") :])[1:]
    assert here(*words).exit == 0
    again = here("copy", influxd.url("unsound"), "b.db", "--json")
    assert (again.exit, again.json["written"], again.json["missing"]) == (0, 5, 0)


def test_infinite_numbers_of_a_file_are_told_too(here, sql):
    fill("a.db", candles(BTC, range(10)))
    sql(f"UPDATE candle SET high = 9e999 WHERE open_time = {START_MS}", path="a.db")
    ended = here("copy", "a.db", "b.db", "--json")
    assert (ended.exit, ended.json["written"], ended.json["blocked"]) == (1, 9, 1)
    (failed,) = ended.json["failed_series"]
    assert "(an infinite high in 1), 2026-02-28T00:00Z to 2026-02-28T00:01Z" in failed["detail"]
    assert failed["detail"].endswith("--refetch --store a.db")


# What is said


def test_the_stores_the_plan_and_the_outcome_are_told(here):
    fill("a.db", candles(BTC, [*range(100), *range(102, 200)]), absences=[absence(100)])
    ended = here("copy", "a.db", "b.db")
    span = "2026-02-28T00:00Z to 2026-02-28T03:20Z"
    lines = ended.err.splitlines()
    assert lines[0].startswith(f"source: sqlite:///{Path.cwd()}/a.db: 1 series, 198 candles, {span}, ")
    assert lines[1].startswith(f"destination: sqlite:///{Path.cwd()}/b.db: new file; ")
    assert lines[2:] == [f"plan: 1 series, {span}: 199 of 199 candles to copy"]
    first, account, pace, lacking = ended.out.splitlines()
    assert first == f"complete: 199 of 199 candles of 1 series accounted for in sqlite:///{Path.cwd()}/b.db, {span}"
    assert account == "  stored before 0, written 198, holes 1, rejected 0, missing 0"
    assert pace.endswith(" candles/s")
    assert lacking == "  the source itself lacks 1 candle in between, for laklak backfill to fetch"
    again = here("copy", "a.db", "b.db")
    assert again.err.splitlines()[2] == f"plan: 1 series, {span}: nothing to copy, all 199 candles accounted for"
    assert here("copy", "a.db", "b.db", "--quiet").out == ""
    assert "series=binance:BTCUSDT:1m written=198 holes=" in Path("backfill.log").read_text()


def test_a_copy_is_no_run_of_a_backfill(here, sql):
    fill("a.db", candles(BTC, range(5)))
    assert here("copy", "a.db", "b.db").exit == 0
    assert sql("SELECT count(*) FROM laklak_runs", path="b.db") == [(0,)]
