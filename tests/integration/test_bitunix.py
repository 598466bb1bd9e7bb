"""Bitunix through whole backfills, against the simulator that speaks its words."""

from __future__ import annotations

import sqlite3
from collections import deque
from pathlib import Path

import orjson
import pytest

from laklak.model.series import DAY_MS, MINUTE_MS, iso
from laklak.simulator import Override, SimulatorSettings, SymbolOverride, generate, parse_fault
from laklak.simulator.dialects import DIALECTS

from .conftest import Venue

KLINE = "/api/v1/futures/market/kline"
SYMBOLS = ("BTCUSDT", "ETHUSDT")
RANGE = ("--days", "2", "--store", "candles.db", "--json")


@pytest.fixture(scope="module")
def source():
    return generate(symbols=2, days=2)


@pytest.fixture
def at_once(unpaced):
    """Settings of one that takes a thousand requests a second: where their number matters and not their pace."""
    return unpaced("bitunix")


@pytest.fixture
def bitunix(source, monkeypatch):
    """Start a simulated Bitunix: `bitunix(**settings)`."""
    running = []

    def start(source=source, **settings):
        one = Venue(
            source, SimulatorSettings.of(DIALECTS["bitunix"], **{"clock_ms": source.end_ms + 10_000, **settings})
        )
        running.append(one)
        monkeypatch.setenv("LAKLAK_BITUNIX_URL", one.url)
        monkeypatch.setenv("LAKLAK_BITUNIX_BUDGET", "max")
        return one

    yield start
    for one in running:
        one.close()


def stored(name="candles.db"):
    with sqlite3.connect(name) as db:
        rows = db.execute(
            "SELECT symbol, open_time, open, high, low, close, volume FROM candles WHERE venue = 'bitunix'"
        )
        return {(symbol, at): tuple(values) for symbol, at, *values in rows}


def truth(source, symbols=SYMBOLS, start_ms=0):
    rows = {}
    for symbol in symbols:
        for row in source.oldest(symbol, start_ms, source.end_ms, 100_000):
            cells = row.decode().strip("[]").replace('"', "").split(",")
            rows[symbol, int(cells[0])] = tuple(map(float, cells[1:6]))
    return rows


def klines(running):
    return len([hit for hit in running.hits if hit.path == KLINE])


def test_every_candle_is_stored_to_the_last_digit_within_the_limit_and_a_second_run_asks_for_none(
    bitunix, here, source
):
    running = bitunix()

    ended = here("backfill", "--venue", "bitunix", *SYMBOLS, *RANGE)

    assert (ended.exit, ended.json["missing"], ended.json["rate_limited"]) == (0, 0, 0)
    assert stored() == truth(source)
    window, most = deque(), 0
    for hit in running.hits:
        window.append(hit.at_s)
        while window[0] <= hit.at_s - 1:
            window.popleft()
        most = max(most, len(window))
    assert most <= 10
    asked = klines(running)
    assert here("backfill", "--venue", "bitunix", *SYMBOLS, *RANGE).exit == 0
    # One question is for the date of its answer: nothing else tells the time.
    assert klines(running) - asked <= 1


def test_what_its_minutes_no_longer_reach_back_to_is_out_of_reach_and_no_hole(bitunix, here, source, at_once):
    reach = source.end_ms - 1200 * MINUTE_MS
    bitunix(overrides={"BTCUSDT": SymbolOverride(kept_from_ms=reach)}, **at_once)

    ended = here("backfill", "bitunix:BTCUSDT", *RANGE)

    answer = ended.json
    assert (ended.exit, answer["missing"], answer["holes"]) == (0, 0, 0)
    assert answer["out_of_reach"] == 2 * 1440 - 1200
    assert f"candles reach back to {iso(reach)}" in ended.err
    assert stored() == truth(source, ["BTCUSDT"], reach)
    again = here("backfill", "bitunix:BTCUSDT", *RANGE)
    assert (again.exit, again.json["out_of_reach"], again.json["requests"]) == (0, 2 * 1440 - 1200, 1)
    assert f"bitunix: 1m of BTCUSDT reaches back to {iso(reach)}, 1 day is out of reach" in again.err


def test_all_is_stored_through_faults_of_every_kind(bitunix, here, source, at_once, timing):
    timing(backoff_most_s=0.05)
    bitunix(**at_once, faults=[parse_fault(one) for one in ("5xx=10%", "cut=5%", "reset=5%", "html=5%")])

    ended = here("backfill", "bitunix:BTCUSDT", *RANGE)

    assert (ended.exit, ended.json["missing"]) == (0, 0)
    assert ended.json["retries"] > 0
    assert stored() == truth(source, ["BTCUSDT"])


@pytest.mark.parametrize("interval", ["5m", "4h", "1d"])
def test_longer_candles_are_asked_by_the_venues_own_names(bitunix, here, interval):
    bitunix()

    ended = here("backfill", "bitunix:BTCUSDT", "--interval", interval, *RANGE)

    assert (ended.exit, ended.json["missing"], ended.json["written"]) == (0, 0, ended.json["wanted"])


def test_a_hole_is_proven_and_a_late_listing_wants_nothing_before(bitunix, here, source, at_once):
    hole = source.end_ms - 700 * MINUTE_MS
    first = source.end_ms - 1500 * MINUTE_MS
    bitunix(
        overrides={
            "BTCUSDT": SymbolOverride(holes=frozenset({hole})),
            "ETHUSDT": SymbolOverride(first_ms=first),
        },
        **at_once,
    )

    ended = here("backfill", "--venue", "bitunix", *SYMBOLS, *RANGE)

    answer = ended.json
    assert (ended.exit, answer["holes"], answer["missing"], answer["out_of_reach"]) == (0, 1, 0, 0)
    assert answer["begun_series"][0]["first"] == iso(first)
    assert {key: row for key, row in truth(source, ["BTCUSDT"]).items() if key[1] != hole} | truth(
        source, ["ETHUSDT"], first
    ) == stored()


def test_a_symbol_that_it_does_not_know_is_told(bitunix, here):
    bitunix()

    ended = here("backfill", "bitunix:XRPUSD", *RANGE)

    assert ended.exit == 2
    assert "bitunix does not know the symbol XRPUSD" in ended.err


@pytest.fixture(scope="module")
def long_source():
    return generate(symbols=2, days=40)


@pytest.mark.parametrize(("reach_days", "range_days", "look"), [(None, 2, 8), (None, 39, 15), (7, 2, 8)])
def test_the_first_candle_is_found_with_a_few_requests_and_is_remembered(
    bitunix, here, long_source, at_once, reach_days, range_days, look
):
    end_ms = long_source.end_ms
    first_ms = end_ms - 30 * DAY_MS + 77 * MINUTE_MS
    reach_ms = None if reach_days is None else end_ms - reach_days * DAY_MS + 77 * MINUTE_MS
    only = SymbolOverride(first_ms=first_ms, kept_from_ms=reach_ms)
    running = bitunix(source=long_source, overrides={"ETHUSDT": only}, **at_once)
    words = ("backfill", "bitunix:ETHUSDT", "--days", str(range_days), *RANGE[2:])

    ended = here(*words)

    start_ms = max(end_ms - range_days * DAY_MS, first_ms)
    assert (ended.exit, ended.json["missing"], ended.json["holes"]) == (0, 0, 0)
    assert stored() == truth(long_source, ["ETHUSDT"], start_ms)
    pages = -(-(end_ms - start_ms) // (200 * MINUTE_MS))
    assert klines(running) <= pages + look
    asked = klines(running)
    assert here(*words).exit == 0
    assert klines(running) - asked <= 1


def test_the_minute_in_which_a_series_begins_is_found_by_the_run_that_hangs_on_it(bitunix, here, source, at_once):
    """The first run is asked for what begins a day later, for which the day has to do."""
    first_ms = source.end_ms - 2 * DAY_MS + 77 * MINUTE_MS
    bitunix(overrides={"ETHUSDT": SymbolOverride(first_ms=first_ms)}, **at_once)
    assert here("backfill", "bitunix:ETHUSDT", "--days", "1", *RANGE[2:]).json["written"] == 1440

    ended = here("backfill", "bitunix:ETHUSDT", *RANGE)

    answer = ended.json
    assert (ended.exit, answer["missing"], answer["holes"], answer["out_of_reach"]) == (0, 0, 0, 0)
    assert answer["begun_series"][0]["first"] == iso(first_ms)
    assert stored() == truth(source, ["ETHUSDT"], first_ms)


def test_a_first_candle_whose_minutes_are_out_of_reach_is_looked_for_once(bitunix, here, long_source, at_once):
    end_ms = long_source.end_ms
    reach_ms = end_ms - 7 * DAY_MS + 77 * MINUTE_MS
    only = SymbolOverride(first_ms=end_ms - 30 * DAY_MS + 77 * MINUTE_MS, kept_from_ms=reach_ms)
    running = bitunix(source=long_source, overrides={"ETHUSDT": only}, **at_once)

    ended = here("backfill", "bitunix:ETHUSDT", "--days", "39", *RANGE[2:])

    assert (ended.exit, ended.json["missing"], ended.json["holes"]) == (0, 0, 0)
    assert ended.json["reached_series"][0]["from"] == iso(reach_ms)
    assert stored() == truth(long_source, ["ETHUSDT"], reach_ms)
    assert len([hit for hit in running.hits if hit.query.get("interval") == "1d"]) <= 6
    # Nothing is asked for beyond its reach while nobody knows it, but for what looks for it.
    assert klines(running) <= -(-7 * 1440 // 200) + 20


def on_klines(nth, answer):
    """A script: the n-th question for candles is answered so."""
    seen = []

    def script(path, query, number):
        if path != KLINE or "startTime" not in query:
            return None
        seen.append(number)
        return answer if len(seen) == nth else None

    return script


@pytest.mark.parametrize("code", [pytest.param(10005, marks=pytest.mark.long), 10006])
def test_a_refusal_for_coming_too_often_pauses_a_second_and_halves_the_pace_and_nothing_is_lost(
    bitunix, here, source, code
):
    body = orjson.dumps({"code": code, "data": None, "msg": "request too frequently"})
    running = bitunix(budget=1000, script=on_klines(12, Override(200, body=body)))

    ended = here("backfill", "bitunix:BTCUSDT", *RANGE)

    assert (ended.exit, ended.json["missing"], ended.json["rate_limited"]) == (0, 0, 1)
    assert stored() == truth(source, ["BTCUSDT"])
    at = [hit.at_s for hit in running.hits]
    refused = next(hit.at_s for hit in running.hits if hit.query == twice_asked(running))
    assert not [one for one in at if refused + 0.5 < one < refused + 0.9]
    later = [one for one in at if one > refused + 0.9]
    # Half of the ten a second that are granted, in any of them.
    assert max(sum(one - 1 < other <= one for other in later) for one in later) <= 5


def twice_asked(running):
    """The question that was asked again."""
    questions = [hit.query for hit in running.hits if hit.path == KLINE]
    return next(one for one in questions if questions.count(one) == 2)


def test_a_firewall_that_refuses_in_mid_run_is_remembered_and_the_next_run_goes_on_from_there(
    bitunix, here, source, at_once
):
    running = bitunix(**at_once, script=on_klines(18, Override(fault="403")))
    words = ("backfill", "bitunix:BTCUSDT", *RANGE, "--max-wait", "10s", "--workers", "1")

    ended = here(*words)

    assert (ended.exit, ended.json["failed_series"][0]["reason"]) == (75, "try_later")
    held = stored()
    assert held
    assert held.items() < truth(source, ["BTCUSDT"]).items()
    before = len(running.hits)
    assert here(*words).exit == 75
    assert len(running.hits) == before
    last = here(*words, "--forget-ban")
    assert (last.exit, last.json["stored_before"], last.json["missing"]) == (0, len(held), 0)
    assert stored() == truth(source, ["BTCUSDT"])


def test_a_symbol_that_has_stopped_is_filled_to_its_last_candle(bitunix, here, source, at_once):
    """Its candles are still given, though it does not trade any more."""
    end_ms = source.end_ms - 1000 * MINUTE_MS
    running = bitunix(overrides={"BTCUSDT": SymbolOverride(delivery_ms=end_ms)}, **at_once)

    ended = here("backfill", "--venue", "bitunix", *SYMBOLS, *RANGE)

    answer = ended.json
    assert (ended.exit, answer["missing"], answer["holes"]) == (0, 0, 0)
    (over,) = answer["ended_series"]
    assert (over["series"], over["ended"], over["status"]) == ("bitunix:BTCUSDT:1m", iso(end_ms), "STOP")
    alive = {key: row for key, row in truth(source, ["BTCUSDT"]).items() if key[1] < end_ms}
    assert stored() == alive | truth(source, ["ETHUSDT"])
    asked = klines(running)
    assert here("backfill", "--venue", "bitunix", *SYMBOLS, *RANGE).exit == 0
    assert klines(running) - asked <= 1


def test_a_symbol_whose_candles_are_refused_fails_alone_with_its_reason(bitunix, here, source, at_once):
    def refused(path, query, number):
        body = b'{"code":20015,"data":null,"msg":"this Futures is not allowed to trade."}'
        return Override(200, body=body) if path == KLINE and query["symbol"] == "BTCUSDT" else None

    bitunix(script=refused, **at_once)
    Path("assets.txt").write_text("BTCUSDT bitunix\nETHUSDT bitunix\n")

    ended = here("backfill", *RANGE)

    assert ended.exit == 1
    (failed,) = ended.json["failed_series"]
    assert (failed["series"], failed["reason"]) == ("bitunix:BTCUSDT:1m", "unknown_symbol")
    assert stored() == truth(source, ["ETHUSDT"])


def test_a_recheck_asks_anew_how_far_back_it_reaches(bitunix, here, source, at_once):
    """It had less then, on the day of the first long candle: where its minutes begin there is no first candle."""
    reach_ms = source.end_ms - 1200 * MINUTE_MS
    running = bitunix(overrides={"BTCUSDT": SymbolOverride(kept_from_ms=reach_ms)}, **at_once)
    words = ("backfill", "bitunix:BTCUSDT", *RANGE)
    assert here(*words).json["out_of_reach"] == 2 * 1440 - 1200
    running.change("BTCUSDT", kept_from_ms=reach_ms - 600 * MINUTE_MS)

    believed = here(*words)
    rechecked = here(*words, "--recheck")
    after = here(*words)

    assert (believed.json["out_of_reach"], believed.json["written"]) == (2 * 1440 - 1200, 0)
    assert (rechecked.exit, rechecked.json["missing"], rechecked.json["written"]) == (0, 0, 600)
    assert rechecked.json["reached_series"][0]["from"] == iso(reach_ms - 600 * MINUTE_MS)
    assert stored() == truth(source, ["BTCUSDT"], reach_ms - 600 * MINUTE_MS)
    assert after.json["out_of_reach"] == 2 * 1440 - 1800
