"""What runs leave about themselves: a row for what was missed and filled, or failed, and none for what is only new."""

from __future__ import annotations

import asyncio
import os

import pytest
from copies import BTC, MINUTE_MS, candles, fill, new_name
from lying_venue import KLINES, ms

import laklak as library

AAA, BBB = "binance:AAAUSDT:1m", "binance:BBBUSDT:1m"


@pytest.fixture(params=["sqlite", "influxdb", pytest.param("influxdb2", marks=pytest.mark.long)])
def where(request, monkeypatch):
    if request.param == "sqlite":
        return "candles.db"
    if request.param == "influxdb":
        return request.getfixturevalue("influxd").url(new_name())
    server = request.getfixturevalue("influxd2")
    monkeypatch.setenv("LAKLAK_INFLUXDB_TOKEN", server.token)
    return server.url(new_name())


@pytest.fixture
def market(liar):
    one = liar("2026-03-03T12:00:30")
    for symbol in ("AAAUSDT", "BBBUSDT"):
        one.list(symbol, onboard="2026-03-01", first="2026-03-01")
    return one


def backfill(*symbols, store="candles.db", start="2026-03-03T11:00", **options):
    return asyncio.run(library.backfill(symbols or ("AAAUSDT", "BBBUSDT"), start=start, store=store, **options))


def runs_of(here, *words, store="candles.db"):
    ended = here("runs", "--store", store, "--json", *words)
    assert (ended.exit, ended.json["error"]) == (0, None)
    return ended.json["runs"]


def brief(fills):
    return [(one["series"], one["coverage_before"], one["coverage_after"], one["rows"], one["error"]) for one in fills]


def test_what_was_missed_before_is_a_row_and_what_is_only_new_is_none(where, market, here):
    backfill(store=where)
    market.clock_ms += 5 * MINUTE_MS
    backfill(store=where)
    backfill("AAAUSDT", start="2026-03-03T10:00", end="2026-03-03T11:30", store=where)

    older, new, first = runs_of(here, store=where)

    assert brief(older["fills"]) == [(AAA, pytest.approx(100 / 3), 100.0, 60, None)]
    assert (older["fills"][0]["range_start"], older["fills"][0]["requests"]) == ("2026-03-03T10:00Z", 1)
    assert (new["fills"], new["written"], new["result"]) == ([], 10, "complete")
    assert brief(first["fills"]) == [(AAA, 0.0, 100.0, 60, None), (BBB, 0.0, 100.0, 60, None)]


def refuse(market, symbol):
    def tell(asked):
        return (503, b"busy") if asked.path == KLINES and asked.query.get("symbol") == symbol else None

    market.tell = tell


def test_a_series_that_fails_is_a_row_with_its_error_until_it_is_filled(where, market, here, timing):
    timing(backoff_most_s=0.02)
    backfill("BBBUSDT", store=where)
    refuse(market, "AAAUSDT")
    backfill(store=where)
    missing = here("explain", AAA, "2026-03-03T11:30", "--store", where, "--json").json
    market.tell = lambda asked: None
    backfill(store=where)
    filled = here("explain", AAA, "2026-03-03T11:30", "--store", where, "--json").json

    last, failed = runs_of(here, "--series", "AAAUSDT", store=where)

    ((name, before, after, rows, error),) = brief(failed["fills"])
    assert (name, before, after, rows, failed["result"]) == (AAA, 0.0, 0.0, 0, "incomplete")
    assert error.startswith("fetch_failed: 60 candles: ")
    assert brief(last["fills"]) == [(AAA, 0.0, 100.0, 60, None)]
    assert runs_of(here, "--failed", store=where) == [failed]
    assert (missing["verdict"], missing["failure"]["error"], missing["exit"]) == ("failed", error, 1)
    assert (filled["verdict"], filled["failure"]) == ("held", None)


def test_a_venue_that_is_down_is_one_row_and_explains_all_of_its_series(venue, beside, here, timing):
    timing(backoff_most_s=0.02)
    venue()
    beside("bybit")
    symbols = ["LTCUSDT", "bybit:LTCUSDT", "bybit:DOTUSDT"]
    asked = {"end": "2026-03-01", "store": "candles.db"}
    asyncio.run(library.backfill(symbols, start="2026-02-28T23:00", **asked))
    beside("bybit", url="http://127.0.0.1:9")
    asyncio.run(library.backfill(symbols, start="2026-02-28T22:00", other_address=True, **asked))

    fills = runs_of(here)[0]["fills"]

    assert [one["series"] for one in fills] == ["binance:LTCUSDT:1m", "bybit:*:1m"]
    assert (fills[1]["coverage_before"], fills[1]["rows"]) == (50.0, 0)
    found = here("explain", "bybit:DOTUSDT", "2026-02-28T22:30", "--store", "candles.db", "--json").json
    assert (found["verdict"], found["failure"]["error"]) == ("failed", fills[1]["error"])


def test_a_run_that_could_ask_nobody_is_remembered_with_why(market, here, monkeypatch, timing):
    timing(backoff_most_s=0.02)
    span = {"start": "2026-03-03T11:00", "end": "2026-03-03T12:00"}
    backfill("AAAUSDT", **span)
    monkeypatch.setenv("LAKLAK_BINANCE_URL", "http://127.0.0.1:9")
    with pytest.raises(library.LaklakError):
        backfill("AAAUSDT", other_address=True, **span | {"start": "2026-03-03T10:00"})

    ended, _ = runs_of(here)
    found = here("explain", "AAAUSDT", "2026-03-03T10:30", "--store", "candles.db", "--json").json

    (fill,) = ended["fills"]
    assert (ended["result"], fill["series"], fill["coverage_before"]) == ("refused", "binance:*:1m", None)
    assert fill["error"] == ended["error"]
    assert ended["error"].startswith("venue_unreachable: ")
    assert (found["verdict"], found["failure"]["error"]) == ("failed", ended["error"])


def test_what_has_not_come_yet_has_not_failed(market, here):
    market.klines_until_ms = ms("2026-03-03T11:55")
    backfill()
    market.clock_ms += MINUTE_MS
    summary = backfill()

    assert summary.missing == 12
    assert runs_of(here)[0]["fills"] == []


def test_candles_that_come_late_are_new_and_not_missed(market, here):
    market.klines_until_ms = ms("2026-03-03T11:55")
    backfill()
    market.klines_until_ms = None
    summary = backfill()

    assert summary.written == 10
    assert runs_of(here)[0]["fills"] == []


def test_what_is_fetched_again_was_not_missed(market, here):
    backfill()
    backfill(refetch=True)

    assert runs_of(here)[0]["fills"] == []


def test_a_minute_that_somebody_took_away_is_a_row(market, here, sql):
    backfill()
    sql("DELETE FROM candles WHERE symbol = 'BBBUSDT' AND time = '2026-03-03T11:59:00Z'", path="candles.db")
    backfill()

    assert brief(runs_of(here)[0]["fills"]) == [(BBB, pytest.approx(100 * 59 / 60), 100.0, 1, None)]


def test_sqlite_shows_the_rows_in_a_view_with_the_times_of_the_run(market, sql):
    backfill("AAAUSDT")

    columns = (
        "r.started_at, r.ended_at, 'binance', 'AAAUSDT', '1m', r.range_start, r.range_end, 0.0, 100.0, 1, 60, NULL"
    )
    assert sql("SELECT * FROM gap_fill_runs", path="candles.db") == sql(
        f"SELECT {columns} FROM laklak_runs AS r", path="candles.db"
    )


def test_runs_are_kept_as_long_as_the_setting_says(market, here, sql, monkeypatch):
    monkeypatch.setenv("LAKLAK_KEEP_RUNS", "30")
    backfill("AAAUSDT")
    backfill("BBBUSDT")
    (first,) = sql("SELECT min(id) FROM laklak_runs", path="candles.db")[0]
    sql("UPDATE laklak_runs SET ended_at = '2026-01-01T00:00:00Z' WHERE id = ?", first, path="candles.db")
    backfill("AAAUSDT")

    assert [brief(run["fills"]) for run in runs_of(here)] == [[], [(BBB, 0.0, 100.0, 60, None)]]
    assert sql("SELECT count(*) FROM gap_fill", path="candles.db") == [(1,)]


# The command


def test_people_see_each_run_with_what_it_filled(market, here):
    backfill()
    backfill("AAAUSDT", start="2026-03-03T10:00")

    newest, row, oldest, *rows = here("runs", "--store", "candles.db").out.splitlines()

    assert "1 series of 1m, 2026-03-03T10:00Z to 2026-03-03T12:00Z; wanted 120, written 60, missing 0" in newest
    assert row == f"  {AAA}  coverage 50.00% to 100%, 60 rows, 1 request or file"
    assert "2 series of 1m" in oldest
    assert [line.split()[0] for line in rows] == [AAA, BBB]
    assert here("runs", "--last", "1", "--store", "candles.db").out.splitlines() == [newest, row]
    assert here("runs", "--failed", "--store", "candles.db").out == "no such run is remembered\n"


def test_no_store_an_unknown_series_and_a_dead_server_are_told_with_status_2(here):
    fill("candles.db", candles(BTC, range(3)))
    for words, told in [
        (["--store", "none.db"], "there is no store"),
        (["--store", "candles.db", "--series", "XRPUSDT"], "no candles of binance:XRPUSDT:1m"),
        (["--store", "influxdb://localhost:9/market_data"], "localhost:9"),
        (["--store", "candles.db", "--series", "nowhere:X"], "nowhere"),
    ]:
        ended = here("runs", *words, "--json")
        assert (ended.exit, ended.json["runs"]) == (2, []), words
        assert told in ended.lines("error")[0]
        assert len(ended.lines("error")) == 1


def test_runs_of_a_file_that_may_only_be_read_are_shown(market, here):
    backfill()
    os.chmod("candles.db", 0o444)

    assert len(runs_of(here)) == 1
