"""The whole program with a real InfluxDB: a database and a bucket get what SQLite gets, and give it back."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest

import laklak as library
from laklak.errors import StoreUnavailable
from laklak.simulator import Override, SymbolOverride, generate
from laklak.simulator.dialects.binance import KLINES

MINUTE_MS = 60_000
DAY_MS = 1440 * MINUTE_MS
END_MS = 1_772_323_200_000  # 2026-03-01T00:00Z
NOON_MS = END_MS - DAY_MS // 2


# What is stored


@pytest.mark.parametrize("gzip", ["off", pytest.param("on", marks=pytest.mark.long)])
def test_every_recorded_candle_is_stored_bit_for_bit(venue, laklak, any_place, truth, check_sum, recorded, gzip):
    venue()
    words = ("backfill", *recorded.symbols, "--days", "4", "--store", any_place.url, "--json")
    ended = laklak(*words, LAKLAK_INFLUXDB_GZIP=gzip)
    assert ended.exit == 0, ended.err
    answer = check_sum(ended.json)
    assert answer["complete"]
    assert answer["written"] == answer["wanted"] == 7 * 4 * 1440
    told = any_place.url.replace("://", "://:***@") if any_place.secret else any_place.url
    assert (answer["store"], answer["dead_letter"]) == (told, None)
    assert any_place.candles() == truth(recorded.symbols)
    assert not Path("laklak-dead-letter.lp").exists()


def test_a_second_run_asks_for_no_candle(venue, here, place, check_sum):
    running = venue()
    words = ("backfill", "LTCUSDT", "DOTUSDT", "--days", "2", "--store", place.url, "--json")
    assert here(*words).exit == 0
    before = len(running.candle_hits)
    ended = here(*words)
    answer = check_sum(ended.json)
    assert (ended.exit, answer["stored_before"], answer["written"]) == (0, 2 * 2 * 1440, 0)
    assert answer["candle_requests"] == 0
    assert len(running.candle_hits) == before
    assert "2 series, 5,760 candles, 2026-02-27T00:00Z to 2026-03-01T00:00Z, " in ended.err


def test_parts_are_shown_and_near_series_are_named_as_of_a_file(venue, here, place):
    venue()
    assert here("backfill", "LTCUSDT", "--days", "1", "--store", place.url).exit == 0
    shown = here("show", "LTCUSDT", "--start", "2026-02-28T10:00", "--first", "2", "--store", place.url)
    assert [line.split()[0] for line in shown.out.splitlines()[2:]] == ["2026-02-28T10:00Z", "2026-02-28T10:01Z"]
    assert here("show", "LTCUSDT", "--first", "1", "--csv", "--store", place.url).out.count("\n") == 2
    lacking = here("show", "LTC", "--store", place.url)
    assert (lacking.exit, "did you mean binance:LTCUSDT:1m?" in lacking.lines("hint")[0]) == (2, True)
    assert place.secret is None or place.secret not in lacking.err


def test_a_place_that_was_made_is_told_and_the_next_run_tells_what_it_holds(venue, here, place):
    venue()
    words = ("backfill", "LTCUSDT", "--days", "1", "--store", place.url)
    kept = {"1.x": "retention policy autogen (kept for ever)", "2.x": "kept for ever"}[place.kind]
    assert f": new {place.word}, {kept}\n" in here(*words).err
    holds = "1 series, 1,440 candles, 2026-02-28T00:00Z to 2026-03-01T00:00Z"
    assert f": {holds}, {kept}\n" in here(*words).err


def test_candles_with_awkward_digits_are_stored_bit_for_bit(venue, database, backfill, served):
    source = generate(symbols=6, days=2, seed=3)
    venue(source)
    assert backfill(database, *source.symbols, days=2).exit == 0
    assert database.candles() == served(source, source.symbols, source.start_ms, source.end_ms)


def test_a_longer_range_asks_only_for_what_is_new(venue, database, backfill, served_twice, truth):
    running = venue()
    backfill(database, "LTCUSDT", days=1)
    summary = backfill(database, "LTCUSDT", days=3)
    assert (summary.stored_before, summary.written) == (1440, 2880)
    assert served_twice(running.hits) == 0
    assert database.candles() == truth(["LTCUSDT"], END_MS - 3 * DAY_MS)


def test_intervals_live_side_by_side(venue, database, backfill):
    venue()
    backfill(database, "LTCUSDT", days=1)
    summary = backfill(database, "LTCUSDT", days=1, interval="1h")
    assert (summary.stored_before, summary.written) == (0, 24)
    assert (len(database.candles()), len(database.candles("1h"))) == (1440, 24)


def test_every_run_leaves_one_point_of_its_account(venue, place, backfill):
    venue()
    backfill(place, "LTCUSDT", days=1)
    backfill(place, "LTCUSDT", days=2)
    names = ("range_start", "wanted", "stored_before", "stored_after", "written", "missing", "exit_code")
    accounts = sorted(place.rows("laklak_runs"), key=lambda row: row["time"])
    assert [[row[name] for name in names] for row in accounts] == [
        ["2026-02-28T00:00Z", 1440, 0, 1440, 1440, 0, 0],
        ["2026-02-27T00:00Z", 2880, 1440, 2880, 1440, 0, 0],
    ]


@pytest.mark.usefixtures("hasty")
def test_a_hole_stays_a_hole_until_it_is_asked_again(venue, place, backfill, truth):
    holes = frozenset({NOON_MS, NOON_MS + MINUTE_MS})
    running = venue(overrides={"LTCUSDT": SymbolOverride(holes=holes)})
    first = backfill(place, "LTCUSDT", days=1)
    assert (first.exit, first.holes, first.missing) == (0, 2, 0)
    assert place.points("laklak_holes", "kind") == [(time_ms, "hole") for time_ms in sorted(holes)]
    again = backfill(place, "LTCUSDT", days=1)
    assert (again.exit, again.candle_requests, again.stored_before, again.holes) == (0, 0, 1438, 2)
    running.change("LTCUSDT", holes=frozenset({NOON_MS}))
    recheck = backfill(place, "LTCUSDT", days=1, recheck=True)
    assert (recheck.exit, recheck.written, recheck.holes) == (0, 1, 1)
    expected = truth(["LTCUSDT"], END_MS - DAY_MS)
    assert place.candles() == {key: values for key, values in expected.items() if key[1] != NOON_MS}


@pytest.mark.usefixtures("hasty")
def test_a_row_that_is_refused_twice_is_rejected_and_kept(venue, place, backfill):
    venue(overrides={"LTCUSDT": SymbolOverride(bad_rows={NOON_MS: "high_below_low"})})
    summary = backfill(place, "LTCUSDT", days=1)
    assert (summary.exit, summary.rejected, summary.written) == (1, 1, 1439)
    (kept,) = place.rows("laklak_holes")
    assert (kept["time"], kept["kind"], json.loads(kept["row"])[0]) == (NOON_MS, "rejected", NOON_MS)
    assert backfill(place, "LTCUSDT", days=1).candle_requests == 0


def test_a_deleted_candle_comes_back_alone(venue, place, backfill, truth):
    running = venue()
    backfill(place, "LTCUSDT", "DOTUSDT", days=2)
    gone_ms = END_MS - DAY_MS + 5 * MINUTE_MS
    place.erase_candle("LTCUSDT", gone_ms)
    before = len(running.candle_hits)
    assert backfill(place, "LTCUSDT", "DOTUSDT", days=2).written == 1
    (hit,) = running.candle_hits[before:]
    assert (hit.query["symbol"], int(hit.query["startTime"]), hit.query["limit"]) == ("LTCUSDT", gone_ms, "1")
    assert place.candles() == truth(["LTCUSDT", "DOTUSDT"], END_MS - 2 * DAY_MS)


def test_refetch_overwrites_half_made_candles(venue, place, backfill, truth):
    venue()
    backfill(place, "LTCUSDT", days=1)
    times = range(END_MS - DAY_MS, END_MS, 7 * MINUTE_MS)
    key = "binance_ohlc,exchange=binance,symbol=LTCUSDT,timeframe=1m"
    place.put("".join(f"{key} close=1.5,volume=0 {time_ms}\n" for time_ms in times))
    assert place.candles() != truth(["LTCUSDT"], END_MS - DAY_MS)
    assert backfill(place, "LTCUSDT", days=1).written == 0
    summary = backfill(place, "LTCUSDT", days=1, refetch=True)
    assert (summary.exit, summary.stored_before, summary.written) == (0, 1440 - len(times), len(times))
    assert place.candles() == truth(["LTCUSDT"], END_MS - DAY_MS)


def test_symbols_of_any_letters_go_through_the_whole_chain(venue, laklak, here, recorded, any_place, truth):
    names = ["币安人生USDT", "^GSPC", "BTC=F", "BRK.B", "A-B+C&D#E%20?${x}"]
    rows = recorded.oldest("LTCUSDT", END_MS - DAY_MS, END_MS, 3)

    def script(path, query, number):
        if path == KLINES:
            return Override(body=b"[" + b",".join(rows) + b"]")
        if path.endswith("exchangeInfo"):
            limits = [{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 2400}]
            symbols = [{"symbol": name, "status": "TRADING", "onboardDate": 0} for name in names]
            return Override(body=json.dumps({"rateLimits": limits, "symbols": symbols}, ensure_ascii=False).encode())
        return None

    venue(script=script)
    span = ("--start", "2026-02-28", "--end", "2026-02-28T00:03", "--store", any_place.url)
    ended = laklak("backfill", *names, *span, LC_ALL="C")
    assert ended.exit == 0, ended.err
    values = truth(["LTCUSDT"], END_MS - DAY_MS, END_MS - DAY_MS + 3 * MINUTE_MS)
    assert any_place.candles() == {(name, key[1]): candle for name in names for key, candle in values.items()}
    assert here("backfill", *names, *span, "--json").json["stored_before"] == 3 * len(names)
    for name in names:
        shown = here("show", f"binance:{name}:1m", "--store", any_place.url)
        assert (shown.exit, shown.out.count("\n")) == (0, 1 + 1 + 3)
        assert library.read_candles(any_place.url, f"binance:{name}:1m").height == 3


# Reading


def test_reading_gives_the_same_from_every_store(venue, place, backfill, here, tmp_path):
    venue()
    backfill(place, "LTCUSDT", days=2)
    file = str(tmp_path / "a.db")
    asyncio.run(library.backfill("LTCUSDT", days=2, store=file))
    for options in ({}, {"last": 3}, {"start": "2026-02-28", "end": "2026-02-28T12:00"}, {"start": "2026-03-05"}):
        frame = library.read_candles(place.url, "binance:LTCUSDT:1m", **options)
        assert frame.equals(library.read_candles(file, "binance:LTCUSDT:1m", **options))
        assert frame.schema == library.read_candles(file, "binance:LTCUSDT:1m", **options).schema
    shown = here("show", "LTCUSDT", "--last", "4", "--store", place.url)
    assert shown.exit == 0
    assert shown.out == here("show", "LTCUSDT", "--last", "4", "--store", file).out


def test_reading_makes_nothing(place, here):
    ended = here("show", "LTCUSDT", "--store", place.url)
    assert (ended.exit, place.exists) == (2, False)
    assert "there is no store" in ended.lines("error")[0]
    with pytest.raises(StoreUnavailable):
        library.read_candles(place.url, "binance:LTCUSDT:1m")
    assert not place.exists


def test_a_dry_run_makes_nothing(venue, place, here):
    running = venue()
    ended = here("backfill", "LTCUSDT", "--days", "1", "--dry-run", "--json", "--store", place.url)
    assert (ended.exit, ended.json["to_fetch"], running.candle_hits) == (0, 1440, [])
    assert f"no such {place.word}" in ended.err
    assert not place.exists


def test_simulated_candles_do_not_go_into_a_place_of_real_ones(venue, place, backfill, here):
    running = venue()
    backfill(place, "LTCUSDT", days=1)
    place.put(f'laklak_meta origin="real" {time.time_ns() // 1_000_000 + 1000}\n')
    before = len(running.candle_hits)
    ended = here("backfill", "LTCUSDT", "--days", "2", "--store", place.url)
    assert (ended.exit, len(running.candle_hits)) == (2, before)
    assert "holds real candles" in ended.lines("error")[0]
