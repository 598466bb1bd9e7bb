"""Deribit through whole backfills, against the simulator that speaks its words."""

from __future__ import annotations

import sqlite3
from collections import deque
from pathlib import Path

import pytest

from laklak.model.series import MINUTE_MS, iso
from laklak.simulator import SimulatorSettings, SymbolOverride, generate, parse_fault
from laklak.simulator.dialects import DIALECTS
from laklak.simulator.dialects import deribit as dialect

from .conftest import Venue

CHART = "/public/get_tradingview_chart_data"
INDEX = "/public/get_volatility_index_data"
DERIBIT = DIALECTS["deribit"]
SYMBOLS = ("BTC-PERPETUAL", "SOL_USDC-PERPETUAL")
RANGE = ("--days", "4", "--store", "candles.db", "--json")


@pytest.fixture(scope="module")
def source():
    return generate(symbols=4, days=4, names=DERIBIT.names)


@pytest.fixture
def deribit(source, monkeypatch, unpaced):
    """Start a simulated Deribit: `deribit(**settings)`, which nobody has to pace but where that is the subject."""
    running = []

    def start(candles=source, *, paced=False, **settings):
        one = Venue(candles, SimulatorSettings.of(DERIBIT, **({} if paced else unpaced("deribit")), **settings))
        running.append(one)
        monkeypatch.setenv("LAKLAK_DERIBIT_URL", one.url)
        monkeypatch.setenv("LAKLAK_DERIBIT_BUDGET", "max")
        return one

    yield start
    for one in running:
        one.close()


def stored(name="candles.db"):
    with sqlite3.connect(name) as db:
        rows = db.execute(
            "SELECT symbol, open_time, open, high, low, close, volume FROM candles WHERE venue = 'deribit'"
        )
        return {(symbol, at): tuple(values) for symbol, at, *values in rows}


def truth(source, symbols=SYMBOLS, start_ms=0):
    rows = {}
    for symbol in symbols:
        for row in source.oldest(symbol, start_ms, source.end_ms, 10_000):
            cells = row.decode().strip("[]").replace('"', "").split(",")
            values = tuple(map(float, cells[1:6]))
            rows[symbol, int(cells[0])] = (*values[:4], 0.0) if symbol.endswith("-DVOL") else values
    return rows


def asked(running, path):
    return [hit for hit in running.hits if hit.path == path]


def test_every_candle_is_stored_to_the_last_digit_and_a_second_run_asks_for_none(deribit, here, source):
    running = deribit()

    ended = here("backfill", "--venue", "deribit", *SYMBOLS, *RANGE)

    assert (ended.exit, ended.json["missing"]) == (0, 0)
    assert stored() == truth(source)
    # No more than the candles take: a listing tells where they begin, and so few pages are worth no look before.
    assert ended.json["candle_requests"] == 4
    before = len(asked(running, CHART))
    minutes = [hit.query for hit in asked(running, CHART) if hit.query["resolution"] == "1"]
    assert all(int(one["end_timestamp"]) - int(one["start_timestamp"]) < 5000 * MINUTE_MS for one in minutes)
    assert here("backfill", "--venue", "deribit", *SYMBOLS, *RANGE).exit == 0
    assert len(asked(running, CHART)) == before


def test_the_index_of_volatility_comes_whole_though_each_answer_has_a_thousand_rows(deribit, here, source):
    running = deribit()

    plan = here("backfill", "deribit:BTC-DVOL:1m", "BTC-PERPETUAL", "--venue", "deribit", *RANGE, "--dry-run").json
    ended = here("backfill", "deribit:BTC-DVOL:1m", *RANGE)

    assert (ended.exit, ended.json["missing"], ended.json["holes"]) == (0, 0, 0)
    assert stored() == truth(source, ["BTC-DVOL"])
    # Six pages of the index, and two of the other.
    assert plan["requests"] == 6 + 2
    assert [(one["chunk"], one["requests"]) for one in plan["alternatives"][:1]] == [(5000, 8)]
    # What was asked before them looks for its first candle, of which no listing tells.
    minutes = [hit.query for hit in asked(running, INDEX) if hit.query["resolution"] == "60"][-6:]
    bounds = sorted((int(one["start_timestamp"]), int(one["end_timestamp"]) + 1) for one in minutes)
    assert (bounds[0][0], bounds[-1][1]) == (source.end_ms - 5760 * MINUTE_MS, source.end_ms)
    assert [start for start, _ in bounds[1:]] == [end for _, end in bounds[:-1]]
    assert not asked(running, CHART)
    before = len(asked(running, INDEX))
    assert here("backfill", "deribit:BTC-DVOL:1m", *RANGE).exit == 0
    assert len(asked(running, INDEX)) == before


def test_an_index_of_which_fewer_rows_come_than_a_thousand_comes_whole_all_the_same(deribit, here, source, monkeypatch):
    monkeypatch.setattr(dialect, "_INDEX_ROWS", 700)
    deribit()

    ended = here("backfill", "deribit:BTC-DVOL", *RANGE)

    assert (ended.exit, ended.json["missing"], ended.json["holes"]) == (0, 0, 0)
    assert stored() == truth(source, ["BTC-DVOL"])


def test_an_index_that_began_long_ago_is_asked_to_its_first_hour(deribit, here):
    long = generate(symbols=4, days=60, names=DERIBIT.names)
    running = deribit(long)

    ended = here("backfill", "deribit:BTC-DVOL", "--interval", "1h", "--days", "70", *RANGE[2:])

    assert (ended.exit, ended.json["missing"], ended.json["written"]) == (0, 0, 60 * 24)
    assert ended.json["begun_series"][0]["first"] == iso(long.end_ms - 60 * 1440 * MINUTE_MS)
    hours = [hit.query for hit in asked(running, INDEX) if hit.query["resolution"] == "3600"]
    assert all(int(one["end_timestamp"]) - int(one["start_timestamp"]) < 1000 * 60 * MINUTE_MS for one in hours)


@pytest.mark.parametrize("interval", ["5m", "2h", "6h", "1d"])
def test_longer_candles_are_asked_by_the_venues_own_names(deribit, here, interval):
    deribit()

    ended = here("backfill", "deribit:BTC-PERPETUAL", "--interval", interval, *RANGE)

    assert (ended.exit, ended.json["missing"], ended.json["written"]) == (0, 0, ended.json["wanted"])


def test_an_interval_that_the_index_lacks_is_refused_when_typed_and_left_out_of_a_list(deribit, here):
    deribit()

    typed = here("backfill", "deribit:BTC-DVOL", "--interval", "5m", *RANGE)

    assert typed.exit == 2
    assert "interval 5m is not offered by deribit for BTC-DVOL" in typed.err
    Path("assets.txt").write_text("BTC-DVOL deribit\nBTC-PERPETUAL deribit\n")
    listed = here("backfill", "--interval", "5m", *RANGE)
    assert (listed.exit, listed.json["missing"]) == (0, 0)
    assert {symbol for symbol, _ in stored()} == {"BTC-PERPETUAL"}
    assert "1 symbol skipped, not offered at 5m: deribit:BTC-DVOL" in listed.err


def test_no_second_holds_more_than_its_limit_nor_a_half_where_nothing_is_said(deribit, here, monkeypatch):
    running = deribit(paced=True)
    monkeypatch.delenv("LAKLAK_DERIBIT_BUDGET")
    monkeypatch.setenv("LAKLAK_DERIBIT_CHUNK", "600")

    ended = here("backfill", "--venue", "deribit", *SYMBOLS, *RANGE)

    assert (ended.exit, ended.json["rate_limited"]) == (0, 0)
    window, most = deque(), 0
    for hit in running.hits:
        window.append(hit.at_s)
        while window[0] <= hit.at_s - 1:
            window.popleft()
        most = max(most, len(window))
    assert 8 <= most <= 10


def test_all_is_stored_through_faults_of_every_kind(deribit, here, source, timing):
    timing(backoff_most_s=0.05)
    deribit(faults=[parse_fault(one) for one in ("5xx=10%", "cut=5%", "reset=5%", "html=5%", "429=3%")])

    ended = here("backfill", "--venue", "deribit", *SYMBOLS, *RANGE, "--chunk", "500")

    assert (ended.exit, ended.json["missing"]) == (0, 0)
    assert ended.json["retries"] > 0
    assert stored() == truth(source)


def test_a_hole_is_proven_and_a_late_listing_wants_nothing_before(deribit, here, source):
    hole = source.end_ms - 700 * MINUTE_MS
    first = source.end_ms - 1500 * MINUTE_MS
    deribit(
        overrides={
            "BTC-PERPETUAL": SymbolOverride(holes=frozenset({hole})),
            "ETH-PERPETUAL": SymbolOverride(first_ms=first, onboard_ms=first),
        }
    )

    ended = here("backfill", "--venue", "deribit", "BTC-PERPETUAL", "ETH-PERPETUAL", *RANGE)

    answer = ended.json
    assert (ended.exit, answer["holes"], answer["missing"]) == (0, 1, 0)
    assert answer["begun_series"][0]["first"] == iso(first)
    whole = {key: row for key, row in truth(source, ["BTC-PERPETUAL"]).items() if key[1] != hole}
    assert stored() == whole | truth(source, ["ETH-PERPETUAL"], first)


def test_a_future_that_has_expired_is_filled_to_its_end(deribit, here, source):
    end = source.end_ms - 1440 * MINUTE_MS
    deribit(overrides={"BTC-PERPETUAL": SymbolOverride(delivery_ms=end)})

    ended = here("backfill", "deribit:BTC-PERPETUAL", *RANGE)

    assert (ended.exit, ended.json["missing"]) == (0, 0)
    assert stored() == {key: row for key, row in truth(source, ["BTC-PERPETUAL"]).items() if key[1] < end}


@pytest.mark.parametrize("symbol", ["XYZ-PERPETUAL", "XYZ-DVOL"])
def test_a_symbol_that_it_does_not_know_is_told_typed_and_fails_alone_in_a_list(deribit, here, symbol):
    deribit()

    typed = here("backfill", f"deribit:{symbol}", *RANGE)

    assert typed.exit == 2
    assert f"deribit does not know the symbol {symbol}" in typed.err
    Path("assets.txt").write_text(f"{symbol} deribit\nBTC-PERPETUAL deribit\n")
    listed = here("backfill", *RANGE)
    assert [one["reason"] for one in listed.json["failed_series"]] == ["unknown_symbol"]
    assert {symbol for symbol, _ in stored()} == {"BTC-PERPETUAL"}


def test_the_listing_names_perpetuals_and_no_index(deribit, here):
    deribit()

    listed = here("assets", "list", "--venue", "deribit").out.split("\n")

    assert [line.split()[0] for line in listed if line] == ["BTC-PERPETUAL", "ETH-PERPETUAL", "SOL_USDC-PERPETUAL"]
