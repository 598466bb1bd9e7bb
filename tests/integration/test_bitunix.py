"""Bitunix through whole backfills, against the simulator that speaks its words."""

from __future__ import annotations

import sqlite3
from collections import deque

import pytest

from laklak.model.series import MINUTE_MS, iso
from laklak.simulator import SimulatorSettings, SymbolOverride, generate, parse_fault
from laklak.simulator.dialects import DIALECTS

from .conftest import Venue

KLINE = "/api/v1/futures/market/kline"
SYMBOLS = ("BTCUSDT", "ETHUSDT")
RANGE = ("--days", "2", "--store", "candles.db", "--json")


@pytest.fixture(scope="module")
def source():
    return generate(symbols=2, days=2)


@pytest.fixture
def bitunix(source, monkeypatch):
    """Start a simulated Bitunix: `bitunix(**settings)`."""
    running = []

    def start(**settings):
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
        for row in source.oldest(symbol, start_ms, source.end_ms, 10_000):
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


def test_what_its_minutes_no_longer_reach_back_to_is_out_of_reach_and_no_hole(bitunix, here, source):
    reach = source.end_ms - 1200 * MINUTE_MS
    bitunix(overrides={"BTCUSDT": SymbolOverride(kept_from_ms=reach)})

    ended = here("backfill", "bitunix:BTCUSDT", *RANGE)

    answer = ended.json
    assert (ended.exit, answer["missing"], answer["holes"]) == (0, 0, 0)
    assert answer["out_of_reach"] == 2 * 1440 - 1200
    assert f"candles reach back to {iso(reach)}" in ended.err
    assert stored() == truth(source, ["BTCUSDT"], reach)
    again = here("backfill", "bitunix:BTCUSDT", *RANGE)
    assert (again.exit, again.json["out_of_reach"], again.json["requests"]) == (0, 2 * 1440 - 1200, 1)
    assert f"bitunix: 1m of BTCUSDT reaches back to {iso(reach)}, 1 day is out of reach" in again.err


def test_all_is_stored_through_faults_of_every_kind(bitunix, here, source):
    bitunix(budget=100_000, faults=[parse_fault(one) for one in ("5xx=10%", "cut=5%", "reset=5%", "html=5%")])

    ended = here("backfill", "bitunix:BTCUSDT", *RANGE)

    assert (ended.exit, ended.json["missing"]) == (0, 0)
    assert ended.json["retries"] > 0
    assert stored() == truth(source, ["BTCUSDT"])


@pytest.mark.parametrize("interval", ["5m", "4h", "1d"])
def test_longer_candles_are_asked_by_the_venues_own_names(bitunix, here, interval):
    bitunix()

    ended = here("backfill", "bitunix:BTCUSDT", "--interval", interval, *RANGE)

    assert (ended.exit, ended.json["missing"], ended.json["written"]) == (0, 0, ended.json["wanted"])


def test_a_hole_is_proven_and_a_late_listing_wants_nothing_before(bitunix, here, source):
    hole = source.end_ms - 700 * MINUTE_MS
    first = source.end_ms - 1500 * MINUTE_MS
    bitunix(
        overrides={
            "BTCUSDT": SymbolOverride(holes=frozenset({hole})),
            "ETHUSDT": SymbolOverride(first_ms=first),
        }
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
