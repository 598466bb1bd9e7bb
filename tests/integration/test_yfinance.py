"""Yahoo Finance through whole backfills, against the simulator that speaks its words."""

from __future__ import annotations

import sqlite3
import struct
from pathlib import Path

import orjson
import pytest
from copies import new_name

from laklak.model.series import DAY_MS, MINUTE_MS, iso
from laklak.simulator import Override, SimulatorSettings, SymbolOverride, generate, parse_fault
from laklak.simulator.dialects import DIALECTS
from laklak.simulator.dialects.yfinance import DELAY_MS, YFinance, sessions
from laklak.venues import yfinance
from laklak.venues.base import Quota

from .conftest import Venue

YAHOO = DIALECTS["yfinance"]
SYMBOLS = ("BTC=F", "^GSPC")
STORE = ("--store", "candles.db", "--json")


@pytest.fixture(scope="module")
def source():
    return generate(symbols=2, days=40, names=YAHOO.names)


@pytest.fixture
def yahoo(source, monkeypatch):
    """Start a simulated Yahoo: `yahoo(**settings)`, which takes a hundred requests a second where nothing is said."""
    running = []

    def start(candles=source, dialect=YAHOO, **settings):
        if settings.setdefault("budget", 100) == 100:
            monkeypatch.setattr(yfinance.YFinance, "quotas", {"requests": Quota(100, 1.0, share=1.0)})
        one = Venue(candles, SimulatorSettings.of(dialect, **settings))
        running.append(one)
        monkeypatch.setenv("LAKLAK_YFINANCE_URL", one.url)
        monkeypatch.setenv("LAKLAK_YFINANCE_BUDGET", "max")
        return one

    yield start
    for one in running:
        one.close()


def stored():
    with sqlite3.connect("candles.db") as db:
        rows = db.execute("SELECT symbol, open_time, open, high, low, close, volume FROM candles")
        return {(symbol, at): tuple(values) for symbol, at, *values in rows}


def truth(source, start_ms, end_ms, symbols=SYMBOLS, lacking=()):
    rows = {}
    for symbol in symbols:
        for one in sessions(symbol, start_ms, end_ms):
            for row in source.oldest(symbol, max(start_ms, one.start_ms), min(end_ms, one.end_ms), 10_000):
                cells = row.decode().strip("[]").replace('"', "").split(",")
                if int(cells[0]) not in lacking:
                    rows[symbol, int(cells[0])] = tuple(map(float, cells[1:6]))
    return rows


def days(source, back, until=0):
    return ("--start", iso(source.end_ms - back * DAY_MS), "--end", iso(source.end_ms - until * DAY_MS), *STORE)


def absences(symbol, kind):
    with sqlite3.connect("candles.db") as db:
        words = "SELECT start_time, end_time FROM laklak_absences WHERE symbol = ? AND kind = ? ORDER BY 1"
        return db.execute(words, (symbol, kind)).fetchall()


def asked(running):
    return [hit for hit in running.hits if "period1" in hit.query]


def test_every_candle_of_every_session_is_stored_to_the_last_digit(yahoo, here, source):
    running = yahoo()

    ended = here("backfill", "--venue", "yfinance", *SYMBOLS, *days(source, 9))

    final_ms = source.end_ms - DELAY_MS
    answer = ended.json
    assert (ended.exit, answer["missing"], answer["holes"], answer["quiet"]) == (0, 0, 0, 0)
    assert stored() == truth(source, source.end_ms - 9 * DAY_MS, final_ms)
    assert answer["wanted"] == answer["written"] == len(stored())
    for hit in asked(running):
        assert int(hit.query["period2"]) - int(hit.query["period1"]) <= 7 * 86_400


def test_closed_time_is_remembered_with_its_evidence_and_a_second_run_asks_for_nothing(yahoo, here, source):
    running = yahoo()
    here("backfill", "--venue", "yfinance", *SYMBOLS, *days(source, 20, 1))
    before = len(asked(running))

    again = here("backfill", "--venue", "yfinance", *SYMBOLS, *days(source, 20, 1))

    assert (again.exit, again.json["missing"], again.json["written"]) == (0, 0, 0)
    assert len(asked(running)) == before
    start_ms, end_ms = source.end_ms - 20 * DAY_MS, source.end_ms - DAY_MS
    open_ms = [one for one in sessions("^GSPC", start_ms, end_ms) if one.end_ms > start_ms]
    closed = absences("^GSPC", "closed")
    assert sum(end - start for start, end in closed) == end_ms - start_ms - sum(
        min(one.end_ms, end_ms) - max(one.start_ms, start_ms) for one in open_ms if one.start_ms < end_ms
    )
    # A weekend and a holiday are among them.
    assert max(end - start for start, end in closed) > 2 * DAY_MS
    assert any(DAY_MS < end - start < 2 * DAY_MS for start, end in closed)


def test_before_anybody_is_asked_the_plan_is_an_upper_bound_and_afterwards_it_is_exact(yahoo, here, source):
    """The last five days of a range that has a weekend in it."""
    now_ms = next(one for one in range(source.end_ms, 0, -DAY_MS) if (one // DAY_MS + 3) % 7 == 0)
    running = yahoo(clock_ms=now_ms + 12 * 60 * MINUTE_MS)
    words = ("backfill", "--venue", "yfinance", *SYMBOLS)
    span = ("--start", iso(now_ms - 5 * DAY_MS), "--end", iso(now_ms), *STORE)

    plan = here(*words, *span, "--dry-run")
    told = here(*words, *span[:-1], "--dry-run").out
    assert not asked(running)
    ended = here(*words, *span)

    assert plan.json["to_fetch"] == plan.json["wanted"] == 2 * 5 * 1440
    assert plan.json["at_most"] is True
    assert "up to 14,400 of 14,400 candles to fetch in 2 requests" in told
    assert (ended.exit, ended.json["missing"], ended.json["holes"]) == (0, 0, 0)
    assert ended.json["wanted"] == len(stored()) < plan.json["to_fetch"] / 2
    assert ended.json["candle_requests"] == len(asked(running)) == plan.json["requests"]
    after = here(*words, *span, "--dry-run").json
    assert (after["to_fetch"], after["wanted"], after["at_most"]) == (0, len(stored()), False)


def test_a_weekend_alone_is_nothing_for_three_days_and_quiet_later_and_no_failure_ever(yahoo, here, source):
    """Its answer has neither rows nor sessions, so nobody knows yet whether anything is still to come."""
    saturday_ms = next(one for one in range(source.end_ms - 8 * DAY_MS, 0, -DAY_MS) if (one // DAY_MS + 3) % 7 == 5)
    words = ("backfill", "yfinance:^GSPC", "--start", iso(saturday_ms), "--end", iso(saturday_ms + 2 * DAY_MS), *STORE)

    yahoo(clock_ms=saturday_ms + 2 * DAY_MS + 60 * MINUTE_MS)
    early = here(*words)
    running = yahoo(clock_ms=saturday_ms + 6 * DAY_MS)
    later = here(*words)
    again = here(*words)

    assert [(one.exit, one.json["missing"]) for one in (early, later, again)] == [(0, 0)] * 3
    assert early.json["wanted"] == 0
    assert absences("^GSPC", "quiet") == [(saturday_ms, saturday_ms + 2 * DAY_MS)]
    assert (later.json["quiet"], again.json["quiet"]) == (2880, 2880)
    assert len(asked(running)) == 1


def test_minutes_of_a_session_without_a_trade_are_quiet_by_one_answer(yahoo, here, source):
    day_ms = next(one.start_ms for one in sessions("^GSPC", source.end_ms - 6 * DAY_MS, source.end_ms))
    quiet = frozenset(range(day_ms + 60 * MINUTE_MS, day_ms + 70 * MINUTE_MS, MINUTE_MS))
    running = yahoo(overrides={"^GSPC": SymbolOverride(holes=quiet)})

    ended = here("backfill", "yfinance:^GSPC", *days(source, 6, 1))

    assert (ended.exit, ended.json["missing"], ended.json["quiet"]) == (0, 0, 10)
    assert absences("^GSPC", "quiet") == [(min(quiet), max(quiet) + MINUTE_MS)]
    assert len(asked(running)) == 1
    whole = truth(source, source.end_ms - 6 * DAY_MS, source.end_ms - DAY_MS, ["^GSPC"], quiet)
    assert stored() == whole


def test_what_the_feed_has_not_published_is_no_failure_and_comes_with_a_later_run(yahoo, here, source):
    end_ms = next(one.start_ms for one in sessions("^GSPC", source.end_ms - 8 * DAY_MS, source.end_ms)) + 3_600_000
    yahoo(clock_ms=end_ms + 30_000)
    span = ("--start", iso(end_ms - DAY_MS), "--end", iso(end_ms), *STORE)

    first = here("backfill", "yfinance:^GSPC", *span)

    assert (first.exit, first.json["missing"], first.json["quiet"]) == (0, 0, 0)
    assert stored() == truth(source, end_ms - DAY_MS, end_ms - DELAY_MS, ["^GSPC"])
    yahoo(clock_ms=end_ms + DAY_MS)
    later = here("backfill", "yfinance:^GSPC", *span)
    assert (later.exit, later.json["missing"]) == (0, 0)
    assert stored() == truth(source, end_ms - DAY_MS, end_ms, ["^GSPC"])


def test_what_the_feed_has_not_published_is_missing_to_no_look_into_the_store_either(yahoo, here, source):
    end_ms = next(one.start_ms for one in sessions("^GSPC", source.end_ms - 8 * DAY_MS, source.end_ms)) + 3_600_000
    yahoo(clock_ms=end_ms + 30_000)
    assert here("backfill", "yfinance:^GSPC", "--days", "1", *STORE).exit == 0
    store = ("--store", STORE[STORE.index("--store") + 1])

    assert here("coverage", *store).exit == 0
    assert here("certificate", *store, "--out", "held.json").exit == 0
    untold = here("explain", "yfinance:^GSPC", iso(end_ms - MINUTE_MS), *store, "--json")
    assert (untold.exit, untold.json["verdict"]) == (0, "beyond_clock")

    with sqlite3.connect("candles.db") as db:
        db.execute("DELETE FROM candle WHERE open_time = (SELECT max(open_time) FROM candle) - 120000")
    gap = here("coverage", *store, "--json")
    assert (gap.exit, gap.json["total"]["missing"]) == (1, 1)


def test_what_lies_beyond_thirty_days_is_told_before_the_run_and_is_no_failure(yahoo, here, source):
    running = yahoo()
    words = ("backfill", "--venue", "yfinance", *SYMBOLS, *days(source, 39, 20))

    plan = here(*words, "--dry-run")
    in_words = here(*(word for word in words if word != "--json"), "--dry-run")
    ended = here(*words)

    assert not [hit for hit in asked(running) if hit.status != 200]
    (reach, other) = ended.json["reached_series"]
    assert (reach["series"], other["series"]) == ("yfinance:BTC=F:1m", "yfinance:^GSPC:1m")
    line = f"yfinance: 1m of BTC=F, ^GSPC reach back to {reach['from']}, 10 days are out of reach"
    assert line in ended.err
    assert "yfinance: 1m of BTC=F, ^GSPC reach back to" in in_words.out
    assert (ended.exit, ended.json["missing"]) == (0, 0)
    assert ended.json["out_of_reach"] == reach["out_of_reach"] + other["out_of_reach"]
    assert [one["out_of_reach"] // 1440 for one in plan.json["reached_series"]] == [10, 10]
    assert plan.json["out_of_reach"] >= 2 * 10 * 1440
    assert min(at for _, at in stored()) >= source.end_ms - 29 * DAY_MS


@pytest.mark.parametrize("interval", ["5m", "15m", "30m", "1h"])
def test_longer_candles_are_asked_by_the_venues_own_names(yahoo, here, source, interval):
    yahoo()

    ended = here("backfill", "yfinance:BTC=F", "--interval", interval, *days(source, 9, 1))

    assert (ended.exit, ended.json["missing"]) == (0, 0)
    assert ended.json["wanted"] == ended.json["written"] == len(stored()) > 0


def test_hours_of_an_index_and_days_are_refused(yahoo, here, source):
    yahoo()

    hours = here("backfill", "yfinance:^GSPC", "--interval", "1h", *days(source, 9, 1))
    whole = here("backfill", "yfinance:BTC=F", "--interval", "1d", *days(source, 9, 1))

    assert (hours.exit, whole.exit) == (2, 2)
    assert "interval 1h is not offered by yfinance for ^GSPC" in hours.err
    assert "interval 1d is not offered by yfinance" in whole.err
    assert "open with each exchange's session" in whole.err


def test_an_unknown_symbol_is_named_and_the_others_are_filled(yahoo, here, source):
    yahoo()

    ended = here("backfill", "--venue", "yfinance", "BTC=F", "NOPE=F", *days(source, 3, 1))

    assert ended.exit == 1
    assert [one["reason"] for one in ended.json["failed_series"]] == ["unknown_symbol"]
    assert stored() == truth(source, source.end_ms - 3 * DAY_MS, source.end_ms - DAY_MS, ["BTC=F"])
    assert here("backfill", "--venue", "yfinance", "NOPE=F", *days(source, 3, 1)).exit == 2


def test_all_is_stored_through_faults(yahoo, here, source):
    yahoo(faults=[parse_fault(one) for one in ("5xx=10%", "cut=5%", "reset=5%", "html=5%")])

    ended = here("backfill", "--venue", "yfinance", *SYMBOLS, *days(source, 9, 1), "--chunk", "3000")

    assert (ended.exit, ended.json["missing"]) == (0, 0)
    assert ended.json["retries"] > 0
    assert stored() == truth(source, source.end_ms - 9 * DAY_MS, source.end_ms - DAY_MS)


REFUSED = Override(429, body=b"Edge: Too Many Requests\r\n")


def on_candles(*answers):
    """A script: the first questions for candles are answered so, or truly where it says None."""
    coming = list(answers)
    return lambda path, query, number: coming.pop(0) if "period1" in query and coming else None


def test_a_429_in_plain_text_pauses_the_venue_and_the_run_goes_on_to_the_last_candle(yahoo, here, source, monkeypatch):
    monkeypatch.setattr(yfinance, "_PAUSE_S", 1.0)
    running = yahoo(script=on_candles(None, REFUSED))

    ended = here("backfill", "--venue", "yfinance", *SYMBOLS, *days(source, 9, 1), "--chunk", "2000")

    assert (ended.exit, ended.json["missing"], ended.json["rate_limited"]) == (0, 0, 1)
    assert stored() == truth(source, source.end_ms - 9 * DAY_MS, source.end_ms - DAY_MS)
    (refused,) = [hit for hit in running.hits if hit.status == 429]
    assert not [hit for hit in running.hits if refused.at_s + 0.5 < hit.at_s < refused.at_s + 0.95]


def test_a_429_that_a_run_may_not_wait_for_ends_it_and_the_next_one_asks_nothing_before_its_time(yahoo, here, source):
    words = ("backfill", "--venue", "yfinance", *SYMBOLS, *days(source, 9, 1), "--max-wait", "10s")
    running = yahoo(script=on_candles(None, None, REFUSED))

    ended = here(*words, "--chunk", "2000", "--workers", "1")

    assert (ended.exit, ended.json["failed_series"][0]["reason"]) == (75, "try_later")
    assert "Edge: Too Many Requests" in ended.json["error"]
    held = stored()
    assert held.items() < truth(source, source.end_ms - 9 * DAY_MS, source.end_ms - DAY_MS).items()
    before = len(running.hits)
    assert here(*words).exit == 75
    assert len(running.hits) == before
    last = here(*words, "--forget-ban")
    assert (last.exit, last.json["stored_before"], last.json["missing"]) == (0, len(held), 0)
    assert stored() == truth(source, source.end_ms - 9 * DAY_MS, source.end_ms - DAY_MS)


def test_a_429_before_anything_was_answered_is_no_unknown_symbol(yahoo, here, source):
    yahoo(script=lambda path, query, number: REFUSED)

    ended = here("backfill", "yfinance:BTC=F", *days(source, 2, 1), "--max-wait", "5s")

    assert ended.exit == 75
    assert "does not answer this address before" in ended.err
    assert "does not know" not in ended.err


class Changed(YFinance):
    """Yahoo whose charts are changed on their way: of all questions for minutes, or of the first so many."""

    def __init__(self, change, first=None):
        self.change = change
        self.left = first

    def candles(self, query, rows, now_ms):
        body = super().candles(query, rows, now_ms)
        if query.start_ms is None or self.left == 0:
            return body
        self.left = None if self.left is None else self.left - 1
        told = orjson.loads(body)
        changed = self.change(told, told["chart"]["result"][0])
        return orjson.dumps(told) if changed is None else changed


def columns_of(result):
    return [result["timestamp"], *result["indicators"]["quote"][0].values()]


def each_as_text(told, result):
    for column in result["indicators"]["quote"][0].values():
        column[:] = map(str, column)


def one_column_short(told, result):
    result["indicators"]["quote"][0]["close"].pop()


def of_another_symbol(told, result):
    result["meta"]["symbol"] = "ETH=F"


def of_another_interval(told, result):
    result["meta"]["dataGranularity"] = "5m"


def stamps_in_milliseconds(told, result):
    result["timestamp"] = [one * 1000 for one in result["timestamp"]]


def stamps_that_are_no_numbers(told, result):
    result["timestamp"] = ["noon"] * len(result["timestamp"])


def newest_first(told, result):
    for column in columns_of(result):
        column.reverse()


HOSTILE = {
    "HTML of status 200": lambda told, result: b"<html><body>Will be right back</body></html>",
    "cut": lambda told, result: orjson.dumps(told)[:-40],
    "no JSON object": lambda told, result: b"[]",
    "nothing": lambda told, result: b"",
    "null": lambda told, result: b"null",
    "brackets": lambda told, result: b"[" * 100_000,
    "a chart of nulls": lambda told, result: orjson.dumps({"chart": {"result": [None], "error": None}}),
    "no chart": lambda told, result: orjson.dumps({"chart": {"result": [], "error": None}}),
    "a column short": one_column_short,
    "another symbol": of_another_symbol,
    "another interval": of_another_interval,
    "milliseconds": stamps_in_milliseconds,
    "no times": stamps_that_are_no_numbers,
    "newest first": newest_first,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_answer_stores_nothing_wrong_and_the_next_one_completes(yahoo, here, source, name, timing):
    timing(backoff_most_s=0.01)
    running = yahoo(dialect=Changed(HOSTILE[name], first=1))

    ended = here("backfill", "--venue", "yfinance", *SYMBOLS, *days(source, 4, 1), "--workers", "1")

    assert (ended.exit, ended.json["missing"], ended.json["quiet"]) == (0, 0, 0)
    assert len(asked(running)) > len(SYMBOLS)
    assert stored() == truth(source, source.end_ms - 4 * DAY_MS, source.end_ms - DAY_MS)


@pytest.mark.parametrize("name", ["HTML of status 200", "another symbol", "milliseconds", "no times", "a column short"])
def test_where_every_answer_is_hostile_nothing_is_stored_and_nothing_is_proven(yahoo, here, source, name, timing):
    timing(backoff_most_s=0.01)
    yahoo(dialect=Changed(HOSTILE[name]))

    ended = here("backfill", "yfinance:BTC=F", *days(source, 4, 1))

    answer = ended.json
    assert (ended.exit, answer["written"], answer["missing"]) == (1, 0, answer["wanted"])
    assert answer["wanted"] == 3 * 1440
    assert stored() == {}


def test_slots_without_a_trade_are_null_and_are_quiet(yahoo, here, source):
    def emptied(told, result):
        for column in result["indicators"]["quote"][0].values():
            column[5::10] = [None] * len(column[5::10])

    yahoo(dialect=Changed(emptied))

    ended = here("backfill", "yfinance:BTC=F", *days(source, 3, 2))

    whole = truth(source, source.end_ms - 3 * DAY_MS, source.end_ms - 2 * DAY_MS, ["BTC=F"])
    kept = {key: row for key, row in whole.items() if key not in sorted(whole)[5::10]}
    assert stored() == kept
    assert (ended.exit, ended.json["missing"], ended.json["quiet"]) == (0, 0, len(whole) - len(kept))


def widened(value):
    """What a price is once it went through a float of 32 bits."""
    return struct.unpack("<f", struct.pack("<f", value))[0]


def test_prices_that_went_through_32_bits_are_kept_to_the_last_of_their_digits(yahoo, here, source):
    def narrowed(told, result):
        quote = result["indicators"]["quote"][0]
        for name in ("open", "high", "low", "close"):
            quote[name] = [widened(value) for value in quote.get(name, ())]

    yahoo(dialect=Changed(narrowed))

    ended = here("backfill", "yfinance:BTC=F", *days(source, 3, 2))

    whole = truth(source, source.end_ms - 3 * DAY_MS, source.end_ms - 2 * DAY_MS, ["BTC=F"])
    assert (ended.exit, ended.json["missing"], ended.json["rejected"]) == (0, 0, 0)
    assert stored() == {key: (*map(widened, row[:4]), row[4]) for key, row in whole.items()}


def test_the_live_price_is_no_candle_though_it_lies_on_the_grid_where_the_session_ends(yahoo, here, source):
    def with_closing_print(told, result):
        periods = result["meta"].get("tradingPeriods")
        if periods and result.get("timestamp"):
            result["timestamp"].append(periods[-1][0]["end"])
            for name, column in result["indicators"]["quote"][0].items():
                column.append(0 if name == "volume" else column[-1])

    yahoo(dialect=Changed(with_closing_print))

    ended = here("backfill", "yfinance:^GSPC", *days(source, 6, 1))

    assert (ended.exit, ended.json["missing"], ended.json["rejected"]) == (0, 0, 0)
    assert stored() == truth(source, source.end_ms - 6 * DAY_MS, source.end_ms - DAY_MS, ["^GSPC"])


@pytest.mark.parametrize(("market_time", "missing"), [(None, 0), *((one, 1440) for one in ("noon", -5, 10**15, 1.5))])
def test_an_answer_without_a_market_time_is_taken_and_one_with_a_garbled_one_is_none(
    yahoo, here, source, market_time, missing, timing
):
    timing(backoff_most_s=0.05)

    def garbled(told, result):
        result["meta"]["regularMarketTime"] = market_time

    yahoo(dialect=Changed(garbled))

    ended = here("backfill", "yfinance:BTC=F", *days(source, 3, 2))

    assert (ended.exit, ended.json["missing"]) == (int(missing > 0), missing)
    there = truth(source, source.end_ms - 3 * DAY_MS, source.end_ms - 2 * DAY_MS, ["BTC=F"])
    assert stored() == ({} if missing else there)


def test_what_closes_after_a_market_time_that_lags_is_left_to_a_later_run(yahoo, here, source):
    start_ms, end_ms = source.end_ms - 3 * DAY_MS, source.end_ms - 2 * DAY_MS
    lags_ms = end_ms - 6 * 60 * MINUTE_MS

    def lagging(told, result):
        result["meta"]["regularMarketTime"] = lags_ms // 1000

    yahoo(dialect=Changed(lagging))
    first = here("backfill", "yfinance:BTC=F", *days(source, 3, 2))
    early = truth(source, start_ms, lags_ms, ["BTC=F"])
    assert (first.exit, first.json["missing"], first.json["quiet"]) == (0, 0, 0)
    assert stored() == early

    yahoo()
    later = here("backfill", "yfinance:BTC=F", *days(source, 3, 2))

    assert (later.exit, later.json["missing"]) == (0, 0)
    assert stored() == truth(source, start_ms, end_ms, ["BTC=F"])


def test_no_second_holds_more_than_two_requests_where_nothing_is_said(yahoo, here, source, monkeypatch):
    running = yahoo(budget=2)
    monkeypatch.delenv("LAKLAK_YFINANCE_BUDGET")

    ended = here("backfill", "--venue", "yfinance", *SYMBOLS, *days(source, 9, 1))

    assert (ended.exit, ended.json["rate_limited"], ended.json["missing"]) == (0, 0, 0)
    at = sorted(hit.at_s for hit in running.hits)
    assert all(later - one >= 0.95 for one, later in zip(at, at[2:], strict=False))


@pytest.mark.parametrize("words", [("yahoo:BTC=F",), ("--venue", "yahoo", "BTC=F"), ("--assets", "mine.txt")])
def test_yahoo_is_another_name_of_it_wherever_a_venue_is_named(yahoo, here, source, monkeypatch, words, tmp_path):
    running = yahoo()
    monkeypatch.delenv("LAKLAK_YFINANCE_URL")
    monkeypatch.setenv("LAKLAK_YAHOO_URL", running.url)
    Path("mine.txt").write_text("BTC=F yahoo\n")

    ended = here("backfill", *words, *days(source, 2, 1), "--budget", "yahoo=2")

    assert (ended.exit, ended.json["missing"]) == (0, 0)
    assert stored() == truth(source, source.end_ms - 2 * DAY_MS, source.end_ms - DAY_MS, ["BTC=F"])


def test_influxdb_holds_every_candle_and_what_is_closed(yahoo, here, source, influxd):
    running, name = yahoo(), new_name()
    span = ("--start", iso(source.end_ms - 9 * DAY_MS), "--end", iso(source.end_ms - DAY_MS), "--json")
    store = ("--store", influxd.url(name))

    ended = here("backfill", "--venue", "yfinance", *SYMBOLS, *span, *store)

    wanted = len(truth(source, source.end_ms - 9 * DAY_MS, source.end_ms - DAY_MS))
    assert (ended.exit, ended.json["missing"], ended.json["written"]) == (0, 0, wanted)
    before = len(asked(running))
    again = here("backfill", "--venue", "yfinance", *SYMBOLS, *span, *store)
    assert (again.exit, again.json["stored_before"]) == (0, wanted)
    assert len(asked(running)) == before
