"""What every venue of the registry does for its users, and all of them in one run, each against its own dialect."""

from __future__ import annotations

import re
import socket
import sqlite3
from pathlib import Path

import pytest

from laklak.model.series import DAY_MS, MINUTE_MS, Series, iso
from laklak.simulator import SimulatorSettings, generate
from laklak.simulator.dialects import DIALECTS
from laklak.text import per_window
from laklak.venues import VENUES

from .conftest import Venue


@pytest.fixture
def play(monkeypatch, unpaced):
    """Start the simulator of a venue: `play("bybit", **settings)`; nobody has to pace."""
    running = []

    def start(name, *, days=1, symbols=2, **settings):
        dialect = DIALECTS[name]
        source = generate(symbols=symbols, days=days, names=dialect.names)
        # Where a Date is all that tells the time, its last two seconds are not believed.
        settings = {"clock_ms": source.end_ms + 30_000, **unpaced(name), **settings}
        one = Venue(source, SimulatorSettings.of(dialect, **settings))
        running.append(one)
        monkeypatch.setenv(f"LAKLAK_{name.upper()}_URL", one.url)
        monkeypatch.setenv(f"LAKLAK_{name.upper()}_BUDGET", "max")
        if dialect.archive_root is not None:
            monkeypatch.setenv(f"LAKLAK_{name.upper()}_ARCHIVE_URL", one.url)
        return one

    yield start
    for one in running:
        one.close()


LISTING = [name for name, venue in VENUES.items() if venue.listing_requests(())]
SILENT = [name for name in VENUES if name not in LISTING]


@pytest.mark.parametrize("name", LISTING)
def test_what_a_venue_trades_is_printed_and_written_into_a_list_and_its_other_lines_stay(play, here, name):
    play(name, symbols=4)
    other = next(one for one in VENUES if one != name)

    printed = here("assets", "list", "--venue", name)
    Path("assets.txt").write_text(f"# mine\nNOPE {name}\nMINE {other}\n")
    refreshed = here("assets", "refresh", "--venue", name)

    lines = printed.out.splitlines()
    assert (printed.exit, refreshed.exit) == (0, 0)
    assert len(lines) >= 3
    assert lines == sorted(lines)
    assert {line.split()[1] for line in lines} == {name}
    assert VENUES[name].example in {line.split()[0] for line in lines}
    assert "1 symbol removed: NOPE" in refreshed.err
    assert Path("assets.txt").read_text() == "\n".join(["# mine", *lines, f"MINE {other}", ""])
    assert here("assets", "refresh", "--venue", name).out.endswith(f"{len(lines)} symbols of {name}, 0 new\n")


@pytest.mark.parametrize("name", SILENT)
def test_a_venue_without_a_listing_says_so_and_leaves_the_list_as_it_is(play, here, name):
    play(name)
    line = f"{VENUES[name].example} {name}\n"
    Path("assets.txt").write_text(line)

    for command in ("list", "refresh"):
        ended = here("assets", command, "--venue", name)

        assert ended.exit == 2
        assert f"{name} has no listing" in ended.err
        assert VENUES[name].example in ended.err
    assert Path("assets.txt").read_text() == line


def test_a_refresh_keeps_the_index_that_stands_in_a_list(play, here):
    play("deribit", symbols=4)
    Path("assets.txt").write_text("BTC-DVOL deribit\n")

    assert here("assets", "refresh", "--venue", "deribit").exit == 0

    assert {"BTC-DVOL deribit", "BTC-PERPETUAL deribit"} < set(Path("assets.txt").read_text().splitlines())


@pytest.mark.parametrize("name", VENUES)
def test_a_list_is_checked_by_what_a_venue_knows(play, here, name):
    play(name, symbols=4)
    Path("assets.txt").write_text(f"{VENUES[name].example} {name}\nNOPE {name}\n")

    checked = here("assets", "check")

    assert checked.exit == 1
    assert checked.out.splitlines() == [
        f"assets.txt: 2 symbols of {name}",
        f"assets.txt:2: {name} does not list NOPE",
    ]


@pytest.mark.parametrize("name", VENUES)
def test_a_look_at_a_venue_says_what_it_allows_in_its_own_units_and_which_symbols_it_lacks(play, here, name):
    play(name, symbols=4)
    Path("assets.txt").write_text(f"{VENUES[name].example} {name}\nNOPE {name}\n")

    looked = here("check", "--venue", name).out

    unit, quota = next(iter(VENUES[name].quotas.items()))
    assert f"{per_window(unit, quota.seconds)} that it allows this address" in looked
    assert re.search(r"1 of 2 symbols of the asset list are not (listed|known to it): NOPE", looked)
    assert "laklak backfill can run" in looked
    Path("assets.txt").write_text(f"{VENUES[name].example} {name}\n")
    assert re.search(r"it (lists|knows) all 1 symbol of the asset list", here("check", "--venue", name).out)


SIX = ("binance", "bybit", "blofin", "bitunix", "deribit", "yfinance")


@pytest.fixture
def nowhere():
    """An address at which nobody listens."""
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{place.getsockname()[1]}"


def stored():
    with sqlite3.connect("candles.db") as db:
        rows = db.execute("SELECT venue, symbol, open_time, open, high, low, close, volume FROM candles")
        return {(venue, symbol, at): tuple(values) for venue, symbol, at, *values in rows}


def truth(running, start_ms, end_ms):
    """Every candle of the simulators' symbols in a range, by venue."""
    rows = {}
    for name, one in running.items():
        for symbol in one.source.symbols:
            for row in one.source.oldest(symbol, start_ms, end_ms, 10_000):
                cells = row.decode().strip("[]").replace('"', "").split(",")
                rows[name, symbol, int(cells[0])] = tuple(map(float, cells[1:6]))
    return rows


@pytest.mark.parametrize(("down", "banned"), [("deribit", "binance"), ("binance", "bybit"), ("bitunix", "yfinance")])
def test_of_six_venues_one_that_is_down_and_one_that_bans_at_once_cost_the_other_four_nothing(
    play, here, nowhere, monkeypatch, down, banned
):
    # A Thursday morning in America, when all of them trade; the Friday is a holiday.
    running = {name: play(name, days=2) for name in SIX}
    end_ms = running["binance"].source.end_ms - DAY_MS - DAY_MS // 4
    start_ms = end_ms - 180 * MINUTE_MS
    Path("assets.txt").write_text(
        "".join(f"{symbol} {name}\n" for name, one in running.items() for symbol in one.source.symbols)
    )
    span = ("--start", iso(start_ms), "--end", iso(end_ms), "--store", "candles.db", "--json", "--max-wait", "2s")
    up = running[down].url
    monkeypatch.setenv(f"LAKLAK_{down.upper()}_URL", nowhere)
    running[banned].ban(900)
    good = {name: one for name, one in running.items() if name not in (down, banned)}

    ended = here("backfill", *span, "--source", "rest")

    answer = ended.json
    assert ended.exit == 1
    assert {Series.parse(one["series"]).venue for one in answer["failed_series"]} == {down, banned}
    assert stored() == truth(good, start_ms, end_ms)
    assert [name for name in SIX if answer["venues"][name]["error"] is None] == list(good)
    assert answer["missing"] == 2 * 2 * 180
    assert len(running[banned].hits) <= 2

    monkeypatch.setenv(f"LAKLAK_{down.upper()}_URL", up)
    running[banned].ban(0)
    again = here("backfill", *span, "--source", "rest", "--forget-ban")

    assert (again.exit, again.json["missing"], again.json["holes"]) == (0, 0, 0)
    assert stored() == truth(running, start_ms, end_ms)
    # Without a clock and a listing to read a date from, one candle is asked for.
    assert all(again.json["venues"][name]["candle_requests"] <= 1 for name in good)


def test_a_typed_venue_takes_its_own_lines_of_a_list_alone(venue, here):
    running = venue()
    Path("assets.txt").write_text("BTCUSDT bybit\nLTCUSDT binance\nBTC=F yfinance\n")

    ended = here("backfill", "--venue", "binance", "--days", "1", "--json")

    assert (ended.exit, ended.json["series"], list(ended.json["venues"])) == (0, 1, ["binance"])
    assert "--venue binance: 1 symbol of it, 2 of other venues left out" in ended.err
    assert {hit.query.get("symbol") for hit in running.candle_hits} == {"LTCUSDT"}


def test_a_typed_venue_of_which_a_list_has_no_line_is_an_error(here):
    Path("assets.txt").write_text("BTCUSDT bybit\n")

    ended = here("backfill", "--venue", "deribit", "--days", "1")

    assert ended.exit == 2
    assert "the list has no symbol of deribit" in ended.lines("error")[0]
    assert "bybit" in ended.lines("hint")[0]


def test_an_unknown_symbol_is_answered_with_one_as_the_venue_spells_it(play, here):
    play("blofin")

    ended = here("backfill", "blofin:WHATEVER-ELSE", "--days", "1")

    assert ended.exit == 2
    assert ended.lines("error")[0].endswith("it is not listed, and the venue gives no candle of it")
    assert ended.lines("hint")[0].endswith("blofin spells symbols like BTC-USDT")
