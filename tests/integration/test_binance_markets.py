"""Binance's other markets through whole backfills, REST and files, against the simulator that speaks their words."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from laklak.model.series import MINUTE_MS, iso
from laklak.simulator import SimulatorSettings, SymbolOverride, generate, parse_fault
from laklak.simulator.dialects import DIALECTS
from laklak.simulator.faults import Override
from laklak.wire.bans import lasting_bans

from .conftest import Venue

END_MS = 1_735_862_400_000  # 2025-01-03T00:00Z: of five days some lie before the year of microseconds, some in it
NEW_YEAR_MS = 1_735_689_600_000
DAYS = 5
RANGE = ("--days", str(DAYS), "--store", "candles.db", "--json")
TODAY = ("--days", "1", "--store", "candles.db", "--json")


class Market(NamedTuple):
    name: str
    klines: str
    symbols: tuple[str, str]
    other: str
    """What the venue's own listing calls what no longer trades."""
    files: str
    unknown: str


MARKETS = (
    Market("binance_spot", "/api/v3/klines", ("BTCUSDT", "ETHUSDT"), "BREAK", "/data/spot/", "BTCUSD"),
    Market(
        "binance_coinm", "/dapi/v1/klines", ("BTCUSD_PERP", "ETHUSD_PERP"), "SETTLING", "/data/futures/cm/", "BTCUSDT"
    ),
)
SPOT, COINS = MARKETS


@pytest.fixture(params=MARKETS, ids=lambda one: one.name)
def market(request):
    return request.param


@pytest.fixture(scope="module")
def sources():
    return {one.name: generate(symbols=2, days=DAYS, end_ms=END_MS, names=one.symbols) for one in MARKETS}


@pytest.fixture
def source(market, sources):
    return sources[market.name]


@pytest.fixture
def started(market, source, monkeypatch):
    """Start the market, with its files unless they are not wanted: `started(files=False, **settings)`."""
    running = []

    def start(*, files=True, source=source, **settings):
        one = Venue(source, SimulatorSettings.of(DIALECTS[market.name], retry_after=True, **settings))
        running.append(one)
        prefix = f"LAKLAK_{market.name.upper()}"
        monkeypatch.setenv(f"{prefix}_URL", one.url)
        monkeypatch.setenv(f"{prefix}_BUDGET", "max")
        if files:
            monkeypatch.setenv(f"{prefix}_ARCHIVE_URL", one.url)
        return one

    yield start
    for one in running:
        one.close()


@pytest.fixture
def stored(market):
    def read(name="candles.db"):
        with sqlite3.connect(name) as db:
            query = "SELECT symbol, open_time, open, high, low, close, volume FROM candles WHERE venue = ?"
            return {(symbol, at): tuple(values) for symbol, at, *values in db.execute(query, (market.name,))}

    return read


@pytest.fixture
def truth(market, source):
    """What there is: `truth(symbols, start_ms, end_ms)`."""

    def of(symbols=market.symbols, start_ms=0, end_ms=END_MS):
        rows = {}
        for symbol in symbols:
            for row in source.oldest(symbol, start_ms, end_ms, 10_000):
                cells = row.decode().strip("[]").replace('"', "").split(",")
                rows[symbol, int(cells[0])] = tuple(map(float, cells[1:6]))
        return rows

    return of


def pages(running, market):
    return [hit for hit in running.hits if hit.path == market.klines]


def files(running, market):
    return [hit for hit in running.hits if hit.path.startswith(market.files) and hit.path.endswith(".zip")]


def test_every_candle_comes_over_rest_and_a_second_run_asks_for_none(started, here, market, stored, truth):
    running = started(files=False)

    ended = here("backfill", "--venue", market.name, *market.symbols, *RANGE)

    assert (ended.exit, ended.json["missing"], ended.json["rate_limited"]) == (0, 0, 0)
    assert stored() == truth()
    # What it thinks that it has paid is what the venue has counted.
    assert ended.json["venues"][market.name]["cost"] == {"weight": sum(hit.weight for hit in running.hits)}
    asked = len(pages(running, market))
    assert here("backfill", "--venue", market.name, *market.symbols, *RANGE).exit == 0
    assert len(pages(running, market)) == asked


@pytest.mark.parametrize("way", ["auto", "archive"])
def test_files_of_both_units_of_time_give_the_same_candles(started, here, market, stored, truth, way):
    running = started()

    ended = here("backfill", "--venue", market.name, *market.symbols, *RANGE, "--source", way)

    # The last day is not published yet.
    published = {key: row for key, row in truth().items() if key[1] < END_MS - 1440 * MINUTE_MS}
    assert ended.json["files"]["candles"] == len(published)
    assert {hit.path.partition("-1m-")[2][:4] for hit in files(running, market)} == {"2024", "2025"}
    if way == "auto":
        assert (ended.exit, ended.json["missing"]) == (0, 0)
        assert stored() == truth()
    else:
        assert stored() == published


@pytest.mark.parametrize("interval", ["5m", "4h", "1d"])
def test_longer_candles_are_filled_too(started, here, market, interval):
    started()

    ended = here("backfill", f"{market.name}:{market.symbols[0]}", "--interval", interval, *RANGE)

    assert (ended.exit, ended.json["missing"], ended.json["written"]) == (0, 0, ended.json["wanted"])


def test_all_is_stored_through_faults_of_every_kind(started, here, market, stored, truth, timing):
    timing(backoff_most_s=0.05)
    faults = ("5xx=10%", "cut=5%", "reset=5%", "html=5%", "badrow=2%", "archive-missing=20%", "archive-checksum=20%")
    started(faults=[parse_fault(one) for one in (*faults, "archive-badrow=20%", "archive-cut-csv=20%")], budget=100_000)

    ended = here("backfill", "--venue", market.name, *market.symbols, *RANGE, "--chunk", "200")

    assert (ended.exit, ended.json["missing"]) == (0, 0)
    assert ended.json["retries"] > 0
    assert stored() == truth()


def test_a_ban_ends_the_run_and_is_remembered_for_as_long_as_the_venue_says(
    started, here, market, tmp_path, monkeypatch
):
    monkeypatch.setenv("LAKLAK_STATE_DIR", str(tmp_path / "state"))

    def banned(path, query, number):
        return Override(fault="418") if path == market.klines and number > 3 else None

    running = started(files=False, script=banned, ban_s=3600.0)
    words = ("backfill", "--venue", market.name, *market.symbols, *RANGE, "--chunk", "100", "--max-wait", "30s")

    assert here(*words).exit == 75

    pool = {"binance_spot": "binance_spot"}.get(market.name, "binance")
    (ban,) = lasting_bans(tmp_path / "state", pool, longest_s=86_400.0)
    assert 3_500_000 < ban.until_ms - time.time_ns() // 1_000_000 <= 3_600_000
    asked = len(running.hits)
    assert here(*words).exit == 75
    assert len(running.hits) == asked


def test_a_hole_is_proven_and_a_late_beginning_wants_nothing_before(started, here, market, stored, truth):
    begun, lacking = market.symbols[1], END_MS - 700 * MINUTE_MS
    first = END_MS - 1000 * MINUTE_MS
    started(
        overrides={
            market.symbols[0]: SymbolOverride(holes=frozenset({lacking})),
            begun: SymbolOverride(first_ms=first),
        }
    )

    ended = here("backfill", "--venue", market.name, *market.symbols, *RANGE)

    assert (ended.exit, ended.json["holes"], ended.json["missing"]) == (0, 1, 0)
    assert [(one["series"], one["first"]) for one in ended.json["begun_series"]] == [
        (f"{market.name}:{begun}:1m", iso(first))
    ]
    of_first = {key: row for key, row in truth(market.symbols[:1]).items() if key[1] != lacking}
    assert stored() == of_first | truth([begun], first)


def test_what_has_ended_is_filled_to_its_last_candle(started, here, market, stored, truth):
    last = NEW_YEAR_MS + 90 * MINUTE_MS
    started(overrides={market.symbols[0]: SymbolOverride(delivery_ms=last, status=market.other)})

    ended = here("backfill", f"{market.name}:{market.symbols[0]}", *RANGE)

    assert (ended.exit, ended.json["missing"]) == (0, 0)
    assert stored() == truth(market.symbols[:1], end_ms=last)


def test_what_klines_refuse_comes_from_its_files(started, here, market, stored, truth):
    started(overrides={market.symbols[0]: SymbolOverride(delisted=True, status=market.other)})
    words = ("--start", iso(END_MS - DAYS * 1440 * MINUTE_MS), "--end", iso(NEW_YEAR_MS), "--store", "candles.db")

    ended = here("backfill", f"{market.name}:{market.symbols[0]}", *words, "--json")

    assert (ended.exit, ended.json["missing"]) == (0, 0)
    assert stored() == truth(market.symbols[:1], end_ms=NEW_YEAR_MS)


def test_an_unknown_symbol_is_an_error_where_it_is_typed_and_fails_alone_in_a_list(started, here, market, stored):
    started(files=False)

    ended = here("backfill", f"{market.name}:{market.unknown}", *TODAY)
    assert ended.exit == 2
    assert f"{market.name} does not know the symbol {market.unknown}" in ended.err

    Path("assets.txt").write_text(f"{market.symbols[0]} {market.name}\n{market.unknown} {market.name}\n")
    ended = here("backfill", *TODAY)
    assert (ended.exit, ended.json["written"]) == (1, 1440)


def test_its_listing_is_a_list_that_can_be_filled_refreshed_and_checked(started, here, market):
    gone = market.symbols[1]
    running = started(overrides={gone: SymbolOverride(status=market.other)})
    of_venue = ("--venue", market.name)

    assert here("assets", "list", *of_venue).out == f"{market.symbols[0]} {market.name}\n"
    Path("assets.txt").write_text(f"LTCUSDT okx\n{gone} {market.name}\n")
    assert here("assets", "refresh", *of_venue).exit == 0
    assert Path("assets.txt").read_text() == f"LTCUSDT okx\n{market.symbols[0]} {market.name}\n"
    assert here("assets", "check").exit == 0
    Path("assets.txt").write_text(f"{gone} {market.name}\n{market.unknown} {market.name}\n")
    ended = here("assets", "check", "--json")
    assert ended.exit == 1
    assert [one["symbol"] for one in ended.json["ended"]] == [gone]
    assert [one["symbol"] for one in ended.json["unknown"]] == [market.unknown]
    assert not pages(running, market)


def test_all_that_it_trades_is_filled_without_a_list(started, here, market, stored, truth):
    started(files=False)

    ended = here("backfill", "--all", "--venue", market.name, *TODAY)

    assert (ended.exit, ended.json["missing"]) == (0, 0)
    assert stored() == truth(start_ms=END_MS - 1440 * MINUTE_MS)


@pytest.mark.parametrize("market", [SPOT], ids="binance_spot".format)
@pytest.mark.parametrize("spelled", ["BTC/USDT", "btc-usdt", "btcusdt"])
def test_a_pair_may_be_spelled_as_elsewhere(started, here, market, spelled):
    started(files=False)
    Path("assets.txt").write_text(f"{spelled} {market.name}\n")

    assert here("backfill", f"{market.name}:{spelled}", *TODAY).json["written"] == 1440
    assert here("backfill", *TODAY).json["stored_before"] == 1440


@pytest.mark.parametrize("market", [SPOT], ids="binance_spot".format)
def test_a_contract_is_no_pair(started, here, market):
    running = started(files=False)
    Path("assets.txt").write_text(f"BTCUSDT.P {market.name}\nETHUSDT {market.name}\n")

    ended = here("backfill", f"{market.name}:BTC/USDT:USDT", *TODAY)
    assert (ended.exit, running.hits) == (2, [])
    assert "means a contract" in ended.lines("error")[0]
    assert here("backfill", *TODAY).exit == 1
    assert [one["reason"] for one in here("assets", "check", "--json").json["bad"]] == ["contract_symbol"]


def test_a_check_looks_at_the_venue_and_at_its_files(started, here, market):
    running = started()

    ended = here("check", "--venue", market.name, "--store", "candles.db")

    assert ended.exit == 0, ended.out
    assert f"{market.name} " in ended.out
    assert {hit.status for hit in running.hits} <= {200, 404}
    assert any(hit.path.startswith(market.files) for hit in running.hits)


# COIN-M: no question is wider than 200 days

YEARS_MS = END_MS - 250 * 1440 * MINUTE_MS


@pytest.fixture
def long_ago(started):
    """Start COIN-M with 250 days of a contract: `long_ago(**settings)`."""

    def start(**settings):
        source = generate(symbols=1, days=250, end_ms=END_MS, names=COINS.symbols)
        return started(files=False, source=source, **settings)

    return start


@pytest.mark.parametrize("market", [COINS], ids="binance_coinm".format)
@pytest.mark.parametrize("interval", ["1d", *(pytest.param(more, marks=pytest.mark.long) for more in ("12h", "6h"))])
def test_no_question_of_many_days_is_wider_than_200_days(long_ago, here, market, interval):
    running = long_ago()

    ended = here("backfill", f"{market.name}:BTCUSD_PERP", "--interval", interval, "--days", "500", *RANGE[2:])

    assert (ended.exit, ended.json["missing"], ended.json["holes"]) == (0, 0, 0)
    assert ended.json["written"] == ended.json["wanted"] == 250 * {"1d": 1, "12h": 2, "6h": 4}[interval]
    assert [one["first"] for one in ended.json["begun_series"]] == [iso(YEARS_MS)]
    assert {hit.status for hit in pages(running, market)} == {200}
    for hit in pages(running, market):
        assert int(hit.query["endTime"]) - int(hit.query["startTime"]) <= 200 * 1440 * MINUTE_MS


@pytest.mark.parametrize("market", [COINS], ids="binance_coinm".format)
def test_what_ended_more_than_200_days_ago_is_filled(long_ago, here, market):
    last = YEARS_MS + 30 * 1440 * MINUTE_MS
    long_ago(overrides={"BTCUSD_PERP": SymbolOverride(delivery_ms=last, status="SETTLING")})

    ended = here("backfill", f"{market.name}:BTCUSD_PERP", "--interval", "1h", "--days", "500", *RANGE[2:])

    assert (ended.exit, ended.json["missing"], ended.json["written"]) == (0, 0, 30 * 24)
