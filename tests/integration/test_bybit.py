"""Bybit through whole backfills, against the simulator that speaks its words."""

from __future__ import annotations

import sqlite3
import time
from collections import deque
from pathlib import Path

import pytest

from laklak.model.series import MINUTE_MS, iso
from laklak.simulator import SimulatorSettings, SymbolOverride, generate, parse_fault
from laklak.simulator.dialects import DIALECTS
from laklak.simulator.faults import Override
from laklak.wire.bans import lasting_bans

from .conftest import Venue

KLINE = "/v5/market/kline"
SYMBOLS = ("BTCUSDT", "ETHUSDT", "SIM0003USDT")


@pytest.fixture(scope="module")
def source():
    return generate(symbols=3, days=2)


@pytest.fixture
def bybit(source, monkeypatch):
    """Start a simulated Bybit: `bybit(**settings)`."""
    running = []

    def start(**settings):
        one = Venue(source, SimulatorSettings.of(DIALECTS["bybit"], **settings))
        running.append(one)
        monkeypatch.setenv("LAKLAK_BYBIT_URL", one.url)
        monkeypatch.setenv("LAKLAK_BYBIT_BUDGET", "max")
        return one

    yield start
    for one in running:
        one.close()


def stored(name="candles.db"):
    with sqlite3.connect(name) as db:
        rows = db.execute("SELECT symbol, open_time, open, high, low, close, volume FROM candles WHERE venue = 'bybit'")
        return {(symbol, at): tuple(values) for symbol, at, *values in rows}


def truth(source, symbols=SYMBOLS, start_ms=0):
    rows = {}
    for symbol in symbols:
        for row in source.oldest(symbol, start_ms, source.end_ms, 10_000):
            cells = row.decode().strip("[]").replace('"', "").split(",")
            rows[symbol, int(cells[0])] = tuple(map(float, cells[1:6]))
    return rows


RANGE = ("--days", "2", "--store", "candles.db", "--json")


def test_every_candle_is_stored_to_the_last_digit_and_a_second_run_asks_for_none(bybit, here, source):
    running = bybit()

    ended = here("backfill", "--venue", "bybit", *SYMBOLS, *RANGE)

    assert (ended.exit, ended.json["missing"]) == (0, 0)
    assert stored() == truth(source)
    asked = len([hit for hit in running.hits if hit.path == KLINE])
    assert here("backfill", "--venue", "bybit", *SYMBOLS, *RANGE).exit == 0
    assert len([hit for hit in running.hits if hit.path == KLINE]) == asked


@pytest.mark.parametrize("interval", ["5m", "4h", "1d"])
def test_longer_candles_are_asked_by_the_venues_own_names(bybit, here, interval):
    bybit()

    ended = here("backfill", "bybit:BTCUSDT", "--interval", interval, *RANGE)

    assert (ended.exit, ended.json["missing"], ended.json["written"]) == (0, 0, ended.json["wanted"])


def test_no_five_seconds_hold_more_than_its_limit_nor_a_tenth_where_nothing_is_said(bybit, here, source, monkeypatch):
    running = bybit()
    monkeypatch.delenv("LAKLAK_BYBIT_BUDGET")
    monkeypatch.setenv("LAKLAK_BYBIT_CHUNK", "100")

    ended = here("backfill", "--venue", "bybit", *SYMBOLS, *RANGE)

    assert (ended.exit, ended.json["rate_limited"]) == (0, 0)
    window, most = deque(), 0
    for hit in running.hits:
        window.append(hit.at_s)
        while window[0] <= hit.at_s - 5:
            window.popleft()
        most = max(most, len(window))
    assert 50 <= most <= 60


def test_all_is_stored_through_faults_of_every_kind(bybit, here, source, timing):
    timing(backoff_most_s=0.05)
    bybit(faults=[parse_fault(one) for one in ("5xx=10%", "cut=5%", "reset=5%", "html=5%")])

    ended = here("backfill", "--venue", "bybit", *SYMBOLS, *RANGE, "--chunk", "200")

    assert (ended.exit, ended.json["missing"]) == (0, 0)
    assert ended.json["retries"] > 0
    assert stored() == truth(source)


def refuses(fault, since=1):
    """A script: from this request on every answer about candles is the fault."""
    return lambda path, query, number: Override(fault=fault) if path == KLINE and number >= since else None


@pytest.mark.parametrize(("fault", "said"), [("418", "access too frequent"), ("403", "403")])
def test_a_403_in_the_middle_ends_the_run_and_is_remembered_for_ten_minutes(
    bybit, here, tmp_path, monkeypatch, fault, said
):
    monkeypatch.setenv("LAKLAK_STATE_DIR", str(tmp_path / "state"))
    running = bybit(script=refuses(fault, since=12))

    ended = here("backfill", "--venue", "bybit", *SYMBOLS, *RANGE, "--chunk", "100", "--max-wait", "30s")

    assert ended.exit == 75
    assert said in ended.json["error"]
    (ban,) = lasting_bans(tmp_path / "state", "bybit", longest_s=86_400.0)
    assert 540_000 < ban.until_ms - time.time_ns() // 1_000_000 <= 600_000
    asked = len(running.hits)
    assert here("backfill", "--venue", "bybit", *SYMBOLS, *RANGE, "--max-wait", "30s").exit == 75
    assert len(running.hits) == asked


def test_a_403_at_the_start_of_a_run_after_one_that_was_served_is_the_firewalls_pause(
    bybit, here, tmp_path, monkeypatch
):
    monkeypatch.setenv("LAKLAK_STATE_DIR", str(tmp_path / "state"))
    refusing = False
    running = bybit(script=lambda path, query, number: Override(fault="403") if refusing else None)
    command = ("backfill", "bybit:BTCUSDT", "--store", "candles.db", "--json", "--max-wait", "30s", "--days")
    assert here(*command, "1").exit == 0
    refusing, served = True, len(running.hits)

    ended = here(*command, "2")

    assert (ended.exit, len(running.hits)) == (75, served + 1)
    assert ended.json["error"].startswith("try_later: ")
    (ban,) = lasting_bans(tmp_path / "state", "bybit", longest_s=86_400.0)
    assert 540_000 < ban.until_ms - time.time_ns() // 1_000_000 <= 600_000
    assert here(*command, "2").exit == 75
    assert len(running.hits) == served + 1


def test_a_403_where_nothing_was_ever_served_is_told_as_a_region_and_not_remembered(bybit, here, tmp_path, monkeypatch):
    monkeypatch.setenv("LAKLAK_STATE_DIR", str(tmp_path / "state"))
    bybit(script=lambda path, query, number: Override(fault="403"))

    for _ in range(2):
        ended = here("backfill", "bybit:BTCUSDT", *RANGE, "--max-wait", "30s")
        assert ended.exit == 2
        assert ended.json["error"].startswith("venue_unreachable: ")
        assert "region" in ended.json["hint"]
    assert not lasting_bans(tmp_path / "state", "bybit", longest_s=86_400.0)


def test_a_country_that_is_not_served_is_told_as_that(bybit, here):
    bybit(faults=[parse_fault("451=100%")])

    ended = here("backfill", "bybit:BTCUSDT", *RANGE)

    assert ended.exit == 2
    assert ended.json["error"].startswith("venue_unreachable: ")
    assert "country" in ended.json["error"]


def test_a_hole_is_proven_and_a_late_listing_wants_nothing_before(bybit, here, source):
    hole = source.end_ms - 700 * MINUTE_MS
    first = source.end_ms - 1500 * MINUTE_MS
    bybit(
        overrides={
            "BTCUSDT": SymbolOverride(holes=frozenset({hole})),
            "ETHUSDT": SymbolOverride(first_ms=first, onboard_ms=first),
        }
    )

    ended = here("backfill", "--venue", "bybit", "BTCUSDT", "ETHUSDT", *RANGE)

    answer = ended.json
    assert (ended.exit, answer["holes"], answer["missing"]) == (0, 1, 0)
    assert answer["begun_series"][0]["first"] == iso(first)
    assert {key: row for key, row in truth(source, ["BTCUSDT"]).items() if key[1] != hole} | truth(
        source, ["ETHUSDT"], first
    ) == stored()


def test_a_closed_contract_is_filled_to_its_end(bybit, here, source):
    end = source.end_ms - 1440 * MINUTE_MS
    bybit(overrides={"BTCUSDT": SymbolOverride(delivery_ms=end, status="Closed")})

    ended = here("backfill", "bybit:BTCUSDT", *RANGE)

    assert (ended.exit, ended.json["missing"]) == (0, 0)
    assert stored() == {key: row for key, row in truth(source, ["BTCUSDT"]).items() if key[1] < end}


def test_a_symbol_that_it_does_not_know_is_told(bybit, here):
    bybit()

    ended = here("backfill", "bybit:XRPUSD", *RANGE)

    assert ended.exit == 2
    assert "bybit does not know the symbol XRPUSD" in ended.err


def test_a_listing_of_many_pages_is_read_to_its_end(here, monkeypatch):
    many = Venue(generate(symbols=1100, days=1), SimulatorSettings.of(DIALECTS["bybit"]))
    try:
        monkeypatch.setenv("LAKLAK_BYBIT_URL", many.url)
        listed = here("assets", "list", "--venue", "bybit").out.splitlines()
        assert len(listed) == 1100
    finally:
        many.close()


def switched_off(monkeypatch, way):
    if way == "file":
        Path("laklak.toml").write_text("[bybit]\nenabled = false\n")
    else:
        monkeypatch.setenv("LAKLAK_BYBIT_ENABLED", "off")


@pytest.mark.parametrize("way", ["file", "variable"])
def test_lines_of_a_venue_that_is_switched_off_are_skipped_with_a_note(bybit, venue, here, monkeypatch, way):
    running = bybit()
    venue()
    switched_off(monkeypatch, way)
    Path("assets.txt").write_text("LTCUSDT binance\nBTCUSDT bybit\nETHUSDT bybit\n")

    ended = here("backfill", "--start", "2026-02-28", "--end", "2026-03-01", "--store", "candles.db", "--json")

    assert (ended.exit, ended.json["series"], running.hits) == (0, 1, [])
    assert "2 symbols of bybit skipped: this venue is switched off" in ended.err
    assert ended.lines("warning") == []


@pytest.mark.parametrize("words", [("bybit:BTCUSDT",), ("BTCUSDT", "--venue", "bybit"), ("--all", "--venue", "bybit")])
def test_a_venue_that_is_switched_off_and_typed_is_refused(bybit, here, monkeypatch, words):
    running = bybit()
    switched_off(monkeypatch, "file")

    ended = here("backfill", *words, *RANGE)

    assert (ended.exit, running.hits) == (2, [])
    assert ended.lines("error") == ["bybit is switched off (laklak.toml)"]
    assert "enabled = true below [bybit]" in ended.lines("hint")[0]


def test_a_check_leaves_out_a_venue_that_is_switched_off(bybit, here, monkeypatch):
    running = bybit()
    monkeypatch.setenv("LAKLAK_VENUE", "bybit")
    switched_off(monkeypatch, "file")

    here("check", "--store", "candles.db")

    assert running.hits == []


def test_lines_of_a_venue_that_lacks_the_interval_are_skipped_with_a_warning(bybit, venue, here):
    running = bybit()
    venue()
    Path("assets.txt").write_text("LTCUSDT binance\nBTCUSDT bybit\n")
    words = ("--interval", "8h", "--start", "2026-02-28", "--end", "2026-03-01", "--store", "candles.db", "--json")

    ended = here("backfill", *words)

    assert (ended.exit, ended.json["written"], running.hits) == (0, 3, [])
    assert ended.lines("warning") == ["1 symbol of bybit skipped: this venue has no candles of 8h"]
    assert here("backfill", "bybit:BTCUSDT", *words).exit == 2
    Path("assets.txt").write_text("BTCUSDT bybit\n")
    assert here("backfill", *words).exit == 2
