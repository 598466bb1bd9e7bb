"""A venue's bulk files beside its API: whichever is asked, the rows are equal, and little is asked twice."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from bulk_files import (
    DAY_MS,
    END_MS,
    MINUTE_MS,
    OCTOBER,
    PUBLISHED_MS,
    RECORDING,
    START_MS,
    SYMBOLS,
    backfill,
    files_asked,
    rows_in,
    zips_sent,
)

import laklak as library
from laklak.simulator import Fault, SymbolOverride, generate

# The same rows from every source


def test_all_sources_give_the_same_rows_and_auto_asks_a_third_of_the_pages_at_most(archive, autumn, sql):
    running = archive(autumn)
    pages = {}
    for source in ("rest", "archive", "auto"):
        before = len(running.candle_hits)
        summary = backfill("BTCUSDT", days=54, source=source, store=f"{source}.db")
        pages[source] = len(running.candle_hits) - before
        if source == "rest":
            assert (summary.exit, files_asked(running)) == (0, 0)
        elif source == "archive":
            # The last day is not published before 09:00, and nothing else is asked for it.
            assert (summary.exit, summary.missing, pages[source]) == (1, 1440, 0)
            assert {failed.reason for failed in summary.failed_series} == {"no_source"}
        else:
            assert (summary.exit, summary.missing, summary.files.candles) == (0, 0, 53 * 1440)
    whole = rows_in(sql, "rest.db")
    assert len(whole) == 54 * 1440
    assert rows_in(sql, "auto.db") == whole
    last_day_ms = autumn.end_ms - DAY_MS
    assert rows_in(sql, "archive.db") == [row for row in whole if int(row.split(", ")[3]) < last_day_ms]
    assert pages["auto"] * 3 < pages["rest"]
    assert zips_sent(running, "monthly") == 2


@pytest.mark.parametrize(("interval", "kind"), [("5m", "daily"), ("1h", "monthly"), ("1d", None)])
def test_other_intervals_give_the_same_rows_too(interval, kind, archive, autumn, sql):
    running = archive(autumn)
    for source in ("rest", "auto"):
        summary = backfill("BTCUSDT", start="2026-10-01", end="2026-11-20", interval=interval, source=source,
                           store=f"{source}.db")  # fmt: skip
        assert (summary.exit, summary.missing) == (0, 0)
    assert rows_in(sql, "auto.db") == rows_in(sql, "rest.db")
    # Fifty candles of a day each are one small page.
    assert {name for name, status in running.simulator.stats.archive if status == 200} >= {f"{kind} zip"} - {"None zip"}


def test_a_symbol_that_is_not_ascii_is_found_in_the_archive(archive, sql):
    source = generate(symbols=6, days=3)
    running = archive(source)
    for which in ("rest", "auto"):
        assert backfill("币安人生USDT", days=3, source=which, store=f"{which}.db").exit == 0
    assert rows_in(sql, "auto.db") == rows_in(sql, "rest.db")
    assert zips_sent(running, "daily") == 2


def test_a_run_that_found_everything_asks_nothing_the_next_time(archive, truth, stored):
    running = archive()
    assert backfill(*SYMBOLS, days=4).exit == 0
    pages, files = len(running.candle_hits), files_asked(running)
    again = backfill(*SYMBOLS, days=4)
    assert (again.exit, again.stored_before, again.files.planned) == (0, 2 * 4 * 1440, 0)
    assert (len(running.candle_hits), files_asked(running)) == (pages, files)
    assert stored() == truth(SYMBOLS)


def test_refetch_takes_the_files_again_and_mends_what_was_changed(archive, sql, stored, truth):
    running = archive(clock_ms=PUBLISHED_MS)
    assert backfill("LTCUSDT", **RECORDING).exit == 0
    sql("UPDATE candle SET close = close * 2")
    summary = backfill("LTCUSDT", **RECORDING, refetch=True)
    assert (summary.exit, summary.written, summary.files.read) == (0, 4 * 1440, 4)
    assert stored() == truth(["LTCUSDT"])
    assert running.candle_hits == []


def test_days_at_the_edges_are_taken_in_part_and_bits_of_them_from_the_api(archive, stored, truth):
    archive(clock_ms=PUBLISHED_MS)
    # Twelve hours of the 25th are worth a file, the first 90 minutes of the 28th are one small page.
    summary = backfill("LTCUSDT", start="2026-02-25T12:00Z", end="2026-02-28T01:30Z")
    assert (summary.exit, summary.files.read, summary.candle_requests, summary.weight) == (0, 3, 1, 1 + 1 + 1)
    assert stored() == truth(["LTCUSDT"], START_MS + DAY_MS // 2, END_MS - DAY_MS + 90 * MINUTE_MS)


def test_one_month_is_one_file_and_a_month_with_few_days_missing_is_days(archive, autumn, sql):
    asked = []
    archive(autumn, archive_script=lambda path, query, number: asked.append(path.rpartition("/")[2]))
    assert backfill("BTCUSDT", **OCTOBER).exit == 0
    assert asked == ["BTCUSDT-1m-2026-10.zip", "BTCUSDT-1m-2026-10.zip.CHECKSUM"]
    del asked[:]
    days = [datetime(2026, 10, day, tzinfo=UTC).timestamp() * 1000 for day in (3, 4, 17)]
    before = rows_in(sql, "laklak.db")
    for start_ms in days:
        sql("DELETE FROM candle WHERE open_time >= ? AND open_time < ?", start_ms, start_ms + DAY_MS)
    summary = backfill("BTCUSDT", **OCTOBER)
    assert (summary.exit, summary.written, summary.candle_requests) == (0, 3 * 1440, 0)
    assert sorted(name for name in asked if name.endswith(".zip")) == [
        "BTCUSDT-1m-2026-10-03.zip",
        "BTCUSDT-1m-2026-10-04.zip",
        "BTCUSDT-1m-2026-10-17.zip",
    ]
    assert rows_in(sql, "laklak.db") == before


def test_a_series_that_was_listed_in_the_middle_of_a_month_is_complete(archive, autumn, stored):
    first_ms = int(datetime(2026, 10, 12, 7, 30, tzinfo=UTC).timestamp()) * 1000
    running = archive(autumn, overrides={"BTCUSDT": SymbolOverride(first_ms=first_ms)})
    summary = backfill("BTCUSDT", **OCTOBER)
    assert (summary.exit, summary.missing, summary.holes) == (0, 0, 0)
    # The month shows that nothing was there; a question to the API and one to hold the answer against settle all of it.
    assert (summary.candle_requests, zips_sent(running, "monthly")) == (2, 1)
    assert min(time_ms for _, time_ms in stored()) == first_ms
    assert backfill("BTCUSDT", **OCTOBER).requests == 2


def test_the_history_of_a_symbol_that_the_api_refuses_is_in_the_files(archive, stored, truth):
    archive(clock_ms=PUBLISHED_MS, overrides={"LTCUSDT": SymbolOverride(delisted=True)})
    # One file after the other: the API refuses what no file has yet before the second one is asked.
    summary = backfill("LTCUSDT", start="2026-02-25", end="2026-03-01T12:00Z", archive_connections=1)
    assert (summary.exit, summary.missing, summary.files.read) == (1, 720, 4)
    assert stored() == truth(["LTCUSDT"])


def test_of_an_unknown_symbol_its_months_are_looked_for_and_no_file_is_asked(archive, tmp_path):
    running = archive()
    (tmp_path / "list.txt").write_text("NOSUCHUSDT binance\nLTCUSDT binance\n")
    summary = asyncio.run(library.backfill(assets=tmp_path / "list.txt", days=4))
    assert (summary.exit, [failed.series for failed in summary.failed_series]) == (1, ["binance:NOSUCHUSDT:1m"])
    asked = [hit.path for hit in running.hits if "/NOSUCHUSDT/" in hit.path]
    assert all("/monthly/" in path and path.endswith(".CHECKSUM") for path in asked)
    # The month of the range, which is not due yet, and the one before it.
    assert (summary.missing, files_asked(running), len(asked)) == (0, 2 * 3 + 2, 2)


def test_files_are_fetched_through_the_proxy_of_the_environment(archive, monkeypatch, stored, truth):
    running = archive(clock_ms=PUBLISHED_MS)
    # The simulator answers whatever path it is asked for, so it can play the proxy too.
    monkeypatch.setenv("http_proxy", running.url)
    monkeypatch.setenv("LAKLAK_BINANCE_URL", "http://api.invalid")
    monkeypatch.setenv("LAKLAK_BINANCE_ARCHIVE_URL", "http://files.invalid")
    summary = backfill("LTCUSDT", **RECORDING)
    assert (summary.exit, summary.missing, summary.files.read) == (0, 0, 4)
    assert stored() == truth(["LTCUSDT"])


def test_a_dry_run_shows_the_split_and_asks_for_no_file(archive, here, clean_room):
    running = archive()
    words = ("backfill", *SYMBOLS, "--days", "4", "--dry-run")
    estimate = here(*words, "--json").json
    assert (estimate["files"], estimate["file_candles"], estimate["no_source"]) == (6, 6 * 1440, 0)
    assert estimate["to_fetch"] == 8 * 1440
    assert 100_000 < estimate["file_bytes"] < 1_000_000
    assert estimate["requests"] > 0
    shown = here(*words)
    assert "8,640 from 6 files" in shown.out + shown.err
    alone = here(*words, "--json", "--source", "archive").json
    assert (alone["files"], alone["requests"], alone["no_source"]) == (6, 0, 2 * 1440)
    assert (files_asked(running), running.candle_hits) == (0, [])
    assert not (clean_room / "laklak.db").exists()


def test_what_came_from_files_is_in_the_summary_and_adds_up(archive, here, check_sum):
    running = archive(faults=[Fault("archive-cut", symbol="LTCUSDT", period="2026-02-26")])
    ended = here("backfill", *SYMBOLS, "--days", "4", "--json", "--store", "other.db")
    files = check_sum(ended.json)["files"]
    assert ended.exit == 0
    assert (files["planned"], files["read"], files["absent"], files["failed"]) == (6, 5, 0, {"zip": 1})
    assert files["candles"] == 5 * 1440
    assert (files["requests"], files["received_bytes"]) == (12, running.simulator.stats.archive_bytes)
    ended = here("backfill", *SYMBOLS, "--days", "4")
    assert "5 files of 6 gave 7,200 candles" in ended.out
    assert "LTCUSDT-1m-2026-02-26.zip" in ended.out


def test_influxdb_gets_the_same_rows_from_every_source(archive, influxd):
    source = generate(symbols=2, days=4)
    archive(source)
    found = {}
    for which in ("rest", "archive", "auto"):
        name = f"from_{which}"
        summary = backfill(*source.symbols, days=4, source=which, store=influxd.url(name))
        assert summary.missing == (2 * 1440 if which == "archive" else 0)
        found[which] = influxd.ask("SELECT open, high, low, close, volume FROM binance_ohlc GROUP BY *", name)
    assert sum(len(series["values"]) for series in found["rest"]) == 2 * 4 * 1440
    assert found["auto"] == found["rest"]
    last_day_ms = source.end_ms - DAY_MS
    for series in found["rest"]:
        series["values"] = [row for row in series["values"] if row[0] < last_day_ms]
    assert found["archive"] == found["rest"]
