"""Filling a store, end to end: what is stored, what is asked, what a second run does."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

import laklak as library
from laklak.simulator import generate
from laklak.simulator.dialects.binance import KLINES, klines_weight

MINUTE_MS = 60_000
DAY_MS = 86_400_000
END_MS = 1_772_323_200_000


def backfill(*symbols, **options):
    return asyncio.run(library.backfill(list(symbols) or None, **options))


def test_every_recorded_candle_is_stored_bit_for_bit(venue, laklak, stored, truth, check_sum, recorded):
    venue()
    ended = laklak("backfill", *recorded.symbols, "--days", "4", "--json")
    assert ended.exit == 0, ended.err
    answer = check_sum(ended.json)
    assert answer["complete"]
    assert answer["written"] == answer["wanted"] == 7 * 4 * 1440
    assert (answer["start"], answer["end"]) == ("2026-02-25T00:00Z", "2026-03-01T00:00Z")
    assert stored() == truth(recorded.symbols)


def test_every_generated_candle_with_awkward_digits_is_stored_bit_for_bit(venue, stored, served):
    source = generate(symbols=6, days=2, seed=3)
    venue(source)
    summary = backfill(*source.symbols, days=2)
    assert summary.exit == 0
    rows = stored()
    assert rows == served(source, source.symbols, source.start_ms, source.end_ms)
    # Not only == on floats: the very bits, so that nothing was rounded to something that compares equal.
    assert all(type(value) is float for values in list(rows.values())[:2000] for value in values)


def test_a_second_run_asks_for_no_candle(venue, laklak, check_sum):
    running = venue()
    assert laklak("backfill", "LTCUSDT", "DOTUSDT", "--days", "4").exit == 0
    before = len(running.hits)
    ended = laklak("backfill", "LTCUSDT", "DOTUSDT", "--days", "4", "--json")
    assert ended.exit == 0
    answer = check_sum(ended.json)
    assert (answer["stored_before"], answer["written"], answer["candle_requests"]) == (11520, 0, 0)
    assert [hit.path for hit in running.hits[before:] if hit.path == KLINES] == []
    assert "nothing to fetch" in ended.err


def test_a_longer_range_asks_only_for_what_is_new(venue, served_twice, stored, truth):
    running = venue()
    backfill("LTCUSDT", days=1)
    summary = backfill("LTCUSDT", days=3)
    assert (summary.stored_before, summary.written) == (1440, 2880)
    assert served_twice(running.hits) == 0
    assert stored() == truth(["LTCUSDT"], END_MS - 3 * DAY_MS)


def test_what_is_asked_costs_what_the_summary_says(venue):
    running = venue()
    summary = backfill("LTCUSDT", "DOTUSDT", days=2, chunk=600)
    assert summary.requests == len(running.hits)
    assert summary.candle_requests == len(running.candle_hits)
    assert summary.weight == running.simulator.stats.weight
    assert {int(hit.query["limit"]) for hit in running.candle_hits} == {600, 480}


@pytest.mark.parametrize(("chunk", "limit"), [("1", 1), ("99", 99), ("auto", 499), ("1500", 1440)])
def test_pages_are_as_large_as_asked_for(venue, chunk, limit):
    running = venue()
    start = "2026-02-28T23:00" if chunk == "1" else "2026-02-28"
    assert backfill("LTCUSDT", start=start, chunk=chunk).exit == 0
    assert max(int(hit.query["limit"]) for hit in running.candle_hits) == limit


def test_pages_are_1000_candles_unless_told_otherwise(venue):
    running = venue()
    backfill("LTCUSDT", days=1)
    assert [int(hit.query["limit"]) for hit in running.candle_hits] == [1000, 440]
    assert [hit.weight for hit in running.candle_hits] == [klines_weight(1000), klines_weight(440)]


@pytest.mark.parametrize(("interval", "count"), [("5m", 4 * 288), ("1h", 96), ("1d", 4)])
def test_longer_intervals_are_filled_and_complete(venue, here, stored, sql, interval, count):
    running = venue()
    ended = here("backfill", "LTCUSDT", "--days", "4", "--interval", interval, "--json")
    assert ended.exit == 0, ended.err
    assert ended.json["written"] == ended.json["wanted"] == count
    rows = {}
    for hit in running.candle_hits:
        assert hit.query["interval"] == interval
        body = _ask(running, hit.query)
        rows |= {("LTCUSDT", row[0]): tuple(map(float, row[1:6])) for row in body}
    assert stored(interval=interval) == rows
    assert sql("SELECT DISTINCT interval FROM candles") == [(interval,)]
    again = here("backfill", "LTCUSDT", "--days", "4", "--interval", interval, "--json")
    assert (again.exit, again.json["candle_requests"]) == (0, 0)


def _ask(running, query):
    asked = running.simulator.settings.dialect.read_candles(KLINES, query)
    return [json.loads(row) for row in running.simulator.market.candles(asked)]


def test_intervals_live_side_by_side_in_one_store(venue, stored):
    venue()
    backfill("LTCUSDT", days=1)
    summary = backfill("LTCUSDT", days=1, interval="1h")
    assert (summary.stored_before, summary.written) == (0, 24)
    assert len(stored()) == 1440
    assert len(stored(interval="1h")) == 24


def test_a_candle_that_is_still_open_is_never_stored(venue, stored):
    venue(clock_ms=END_MS - DAY_MS + 12_345)
    summary = backfill("LTCUSDT", start="2026-02-27T23:50", end="2026-02-28T00:10")
    assert (summary.exit, summary.wanted, summary.end) == (0, 10, "2026-02-28T00:00Z")
    assert max(time_ms for _, time_ms in stored()) == END_MS - DAY_MS - MINUTE_MS


def test_an_open_hour_is_not_stored_although_its_minutes_are_closed(venue, stored):
    venue(clock_ms=END_MS - 30 * MINUTE_MS)
    summary = backfill("LTCUSDT", start="2026-02-28T20:00", interval="1h")
    assert (summary.exit, summary.wanted) == (0, 3)
    assert max(time_ms for _, time_ms in stored(interval="1h")) == END_MS - 2 * 3_600_000


def test_the_end_is_exclusive_and_offsets_are_converted(venue, stored, truth):
    venue()
    backfill("LTCUSDT", start="2026-02-27T02:00+02:00", end="2026-02-27T00:03Z")
    assert stored() == truth(["LTCUSDT"], END_MS - 2 * DAY_MS, END_MS - 2 * DAY_MS + 3 * MINUTE_MS)


def test_days_count_back_from_the_end_that_was_given(venue, stored, truth):
    venue()
    backfill("LTCUSDT", days=1, end="2026-02-27T12:00")
    assert stored() == truth(["LTCUSDT"], END_MS - int(2.5 * DAY_MS), END_MS - int(1.5 * DAY_MS))


def test_a_range_off_the_grid_wants_only_whole_candles_inside_of_it(venue, stored, truth):
    venue()
    summary = backfill("LTCUSDT", start="2026-02-27T00:00:30", end="2026-02-27T00:02:30")
    assert summary.exit == 0
    # [00:00:30, 00:02:30) holds the open times 00:01 and 00:02.
    first_ms = END_MS - 2 * DAY_MS + MINUTE_MS
    assert stored() == truth(["LTCUSDT"], first_ms, first_ms + 2 * MINUTE_MS)


def test_a_symbol_asked_twice_is_one_series(venue, stored):
    running = venue()
    summary = backfill("LTCUSDT", "binance:LTCUSDT", "LTCUSDT", days=1)
    assert (summary.series, summary.wanted) == (1, 1440)
    assert len(running.candle_hits) == 2
    assert len(stored()) == 1440


def test_a_deleted_candle_comes_back_alone_with_the_smallest_page(venue, stored, truth, sql):
    running = venue()
    backfill("LTCUSDT", "DOTUSDT", days=4)
    minute_ms = END_MS - 2 * DAY_MS + 5 * MINUTE_MS
    sql("DELETE FROM candles WHERE symbol = 'LTCUSDT' AND open_time = ?", minute_ms)
    before = len(running.candle_hits)
    summary = backfill("LTCUSDT", "DOTUSDT", days=4)
    assert (summary.exit, summary.written, summary.candle_requests) == (0, 1, 1)
    (hit,) = running.candle_hits[before:]
    assert (hit.query["symbol"], int(hit.query["startTime"]), hit.query["limit"]) == ("LTCUSDT", minute_ms, "1")
    assert stored() == truth(["LTCUSDT", "DOTUSDT"])


def test_refetch_overwrites_half_made_candles(venue, stored, truth, sql):
    venue()
    backfill("LTCUSDT", days=1)
    sql("UPDATE candles SET close = 1.5, volume = 0 WHERE open_time % 420000 = 0")
    assert stored() != truth(["LTCUSDT"], END_MS - DAY_MS)
    assert backfill("LTCUSDT", days=1).written == 0
    summary = backfill("LTCUSDT", days=1, refetch=True)
    changed = -(-1440 // 7)
    assert (summary.exit, summary.wanted) == (0, 1440)
    assert (summary.stored_before, summary.written) == (1440 - changed, changed)
    assert stored() == truth(["LTCUSDT"], END_MS - DAY_MS)


def test_every_run_leaves_one_row_of_its_account(venue, here, sql):
    venue()
    here("backfill", "LTCUSDT", "--days", "1")
    here("backfill", "LTCUSDT", "--days", "2")
    columns = "range_start, range_end, wanted, stored_before, stored_after, written, missing, requests, exit_code"
    rows = sql(f"SELECT {columns} FROM laklak_runs ORDER BY id")
    assert rows == [
        ("2026-02-28T00:00:00Z", "2026-03-01T00:00:00Z", 1440, 0, 1440, 1440, 0, 4, 0),
        ("2026-02-27T00:00:00Z", "2026-03-01T00:00:00Z", 2880, 1440, 2880, 1440, 0, 4, 0),
    ]


def test_symbols_of_any_letters_go_through_the_whole_chain(venue, laklak, here, recorded, tmp_path):
    names = ["币安人生USDT", "^GSPC", "BTC=F", "BRK.B", "BTCUSDT_260327", "A-B+C&D#E%20?"]
    rows = recorded.oldest("LTCUSDT", END_MS - DAY_MS, END_MS, 3)
    asked = []

    def script(path, query, number):
        from laklak.simulator import Override

        if path == KLINES:
            asked.append(query["symbol"])
            return Override(body=b"[" + b",".join(rows) + b"]")
        if path.endswith("exchangeInfo"):
            limits = [{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 2400}]
            symbols = [{"symbol": name, "status": "TRADING", "onboardDate": 1} for name in names]
            return Override(body=json.dumps({"rateLimits": limits, "symbols": symbols}, ensure_ascii=False).encode())
        return None

    venue(script=script)
    span = ("--start", "2026-02-28", "--end", "2026-02-28T00:03")
    ended = laklak("backfill", *names, *span, "--json", LC_ALL="C")
    assert ended.exit == 0, ended.err
    assert sorted(asked) == sorted(names)
    assert ended.json["written"] == 3 * len(names)
    listed = tmp_path / "mine.txt"
    listed.write_text("".join(f"{name} binance\n" for name in names), encoding="utf-8")
    again = here("backfill", "--assets", listed, *span, "--json")
    assert (again.exit, again.json["stored_before"]) == (0, 3 * len(names))
    for name in names:
        shown = here("show", f"binance:{name}:1m", "--last", "2")
        assert shown.exit == 0
        assert shown.out.startswith(f"binance:{name}:1m\n")
        assert library.read_candles("laklak.db", f"binance:{name}:1m").height == 3


def test_the_log_begins_with_the_settings_and_ends_with_the_summary(venue, here):
    venue()
    assert here("backfill", "LTCUSDT", "DOTUSDT", "--days", "1").exit == 0
    lines = Path("backfill.log").read_text().splitlines()
    text = "\n".join(lines)
    assert "settings: days = 1 (flag --days); start_wait = 0s (environment LAKLAK_START_WAIT)" in lines[1]
    assert "store: sqlite:////" in lines[2]
    assert text.count("series=binance:LTCUSDT:1m written=1440") == 1
    assert text.count("series=binance:DOTUSDT:1m written=1440") == 1
    assert "complete: 2,880 of 2,880" in text
    assert "klines" not in text
