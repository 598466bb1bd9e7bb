"""A venue's bulk files beside its API: whichever is asked, and whatever is wrong with files, the rows are equal."""

from __future__ import annotations

import asyncio
import gc
import json
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

import laklak as library
from laklak.archives.reading import read_files
from laklak.archives.table import CandleTable
from laklak.errors import VenueUnreachable
from laklak.simulator import ARCHIVE_KINDS, Fault, Override, SymbolOverride, generate
from laklak.simulator.rules import KLINES

MINUTE_MS = 60_000
DAY_MS = 86_400_000
END_MS = 1_772_323_200_000  # 2026-03-01T00:00Z
START_MS = END_MS - 4 * DAY_MS
NOON_MS = END_MS - 2 * DAY_MS - DAY_MS // 2  # of 2026-02-26
# At noon of the day after all four recorded days are published, and no month is.
PUBLISHED_MS = END_MS + DAY_MS // 2
SYMBOLS = ("LTCUSDT", "DOTUSDT")
RECORDING = {"start": "2026-02-25", "end": "2026-03-01"}

# What each kind of fault of one daily file comes to: files read, files not there, files that failed by reason.
OUTCOMES = {
    "archive-missing": (3, 1, {}),
    "archive-checksum": (3, 0, {"checksum": 1}),
    "archive-flaky-checksum": (4, 0, {}),
    "archive-zero-volume": (4, 0, {}),
    "archive-badrow": (4, 0, {}),
    "archive-reversed": (3, 0, {"csv": 1}),
    "archive-doubled": (3, 0, {"csv": 1}),
    "archive-noheader": (4, 0, {}),
    "archive-header-only": (3, 0, {"csv": 1}),
    "archive-microseconds": (4, 0, {}),
    "archive-columns:11": (3, 0, {"csv": 1}),
    "archive-columns:6": (3, 0, {"csv": 1}),
    "archive-cut-csv": (3, 0, {"csv": 1}),
    "archive-cut": (3, 0, {"zip": 1}),
    "archive-bomb:honest": (3, 0, {"archive_refused": 1}),
    "archive-bomb:lying": (3, 0, {"archive_refused": 1}),
    "archive-path:parent": (3, 0, {"zip": 1}),
    "archive-path:absolute": (3, 0, {"zip": 1}),
    "archive-two-members": (3, 0, {"zip": 1}),
    "archive-empty": (3, 0, {"zip": 1}),
    "archive-5xx": (4, 0, {}),
    "archive-reset": (4, 0, {}),
    "archive-slow": (4, 0, {}),
    # Only monthly files lack days.
    "archive-missing-day": (4, 0, {}),
}


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    """The two seconds between two answers would cost a minute here; other tests look at them."""
    monkeypatch.setattr("laklak.engine.fetch.SECOND_ANSWER_AFTER_S", 0.05)


@pytest.fixture(scope="session")
def autumn():
    """Two symbols, 54 days up to 2026-11-21: a whole month and two broken ones."""
    return generate(symbols=2, days=54)


def backfill(*symbols, **options):
    return asyncio.run(library.backfill(list(symbols), **options))


def files_asked(running):
    """Requests for files and checksums so far."""
    return sum(running.simulator.stats.archive.values())


def zips_sent(running, kind):
    """How many daily or monthly zips were there to be sent."""
    return running.simulator.stats.archive[f"{kind} zip", 200]


def rows_in(sql, path):
    """Every row of a store in order, spelled so that equal means equal bit for bit."""
    rows = sql("SELECT venue, symbol, interval, open_time, open, high, low, close, volume FROM candles", path=path)
    return sorted(map(repr, rows))


def tree(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


# The same rows from every source


def test_all_sources_give_the_same_rows_and_auto_asks_a_third_of_the_pages_at_most(archive, autumn, sql):
    running = archive(autumn)
    symbols, pages = autumn.symbols, {}
    for source in ("rest", "archive", "auto"):
        before = len(running.candle_hits)
        summary = backfill(*symbols, days=54, source=source, store=f"{source}.db")
        pages[source] = len(running.candle_hits) - before
        if source == "rest":
            assert (summary.exit, files_asked(running)) == (0, 0)
        elif source == "archive":
            # The last day is not published before 09:00, and nothing else is asked for it.
            assert (summary.exit, summary.missing, pages[source]) == (1, 2 * 1440, 0)
            assert {failed.reason for failed in summary.failed_series} == {"no_source"}
        else:
            assert (summary.exit, summary.missing, summary.files.candles) == (0, 0, 2 * 53 * 1440)
    whole = rows_in(sql, "rest.db")
    assert len(whole) == 2 * 54 * 1440
    assert rows_in(sql, "auto.db") == whole
    last_day_ms = autumn.end_ms - DAY_MS
    assert rows_in(sql, "archive.db") == [row for row in whole if int(row.split(", ")[3]) < last_day_ms]
    assert pages["auto"] * 3 < pages["rest"]
    assert zips_sent(running, "monthly") == 2 * 2


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
    october = {"start": "2026-10-01", "end": "2026-11-01"}
    assert backfill("BTCUSDT", **october).exit == 0
    assert asked == ["BTCUSDT-1m-2026-10.zip", "BTCUSDT-1m-2026-10.zip.CHECKSUM"]
    del asked[:]
    days = [datetime(2026, 10, day, tzinfo=UTC).timestamp() * 1000 for day in (3, 4, 17)]
    before = rows_in(sql, "laklak.db")
    for start_ms in days:
        sql("DELETE FROM candle WHERE open_time >= ? AND open_time < ?", start_ms, start_ms + DAY_MS)
    summary = backfill("BTCUSDT", **october)
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
    october = {"start": "2026-10-01", "end": "2026-11-01"}
    summary = backfill("BTCUSDT", **october)
    before = (first_ms - int(datetime(2026, 10, 1, tzinfo=UTC).timestamp()) * 1000) // MINUTE_MS
    assert (summary.exit, summary.missing, summary.holes) == (0, 0, before)
    # The month shows that nothing was there; one question to the API settles all of it.
    assert (summary.candle_requests, zips_sent(running, "monthly")) == (1, 1)
    assert min(time_ms for _, time_ms in stored()) == first_ms
    assert backfill("BTCUSDT", **october).requests == 2


def test_the_history_of_a_symbol_that_the_api_refuses_is_in_the_files(archive, stored, truth):
    archive(clock_ms=PUBLISHED_MS, overrides={"LTCUSDT": SymbolOverride(delisted=True)})
    # One file after the other: the API refuses what no file has yet before the second one is asked.
    summary = backfill("LTCUSDT", start="2026-02-25", end="2026-03-01T12:00Z", archive_connections=1)
    assert (summary.exit, summary.missing, summary.files.read) == (1, 720, 4)
    assert stored() == truth(["LTCUSDT"])


def test_no_file_of_an_unknown_symbol_is_asked(archive, tmp_path):
    running = archive()
    (tmp_path / "list.txt").write_text("NOSUCHUSDT binance\nLTCUSDT binance\n")
    summary = asyncio.run(library.backfill(assets=tmp_path / "list.txt", days=4))
    assert (summary.exit, [failed.series for failed in summary.failed_series]) == (1, ["binance:NOSUCHUSDT:1m"])
    assert (summary.missing, files_asked(running)) == (0, 2 * 3)


# Files with holes


def test_what_only_a_file_lacks_is_asked_of_the_api_at_the_smallest_page(archive, stored, truth):
    lacking = frozenset(NOON_MS + minute * MINUTE_MS for minute in (0, 1, 2, 1500))
    running = archive(clock_ms=PUBLISHED_MS, overrides={"LTCUSDT": SymbolOverride(archive_holes=lacking)})
    summary = backfill("LTCUSDT", **RECORDING)
    assert (summary.exit, summary.missing, summary.holes) == (0, 0, 0)
    assert [(hit.weight, int(hit.query["startTime"]), hit.query["limit"]) for hit in running.candle_hits] == [
        (1, NOON_MS, "3"),
        (1, NOON_MS + 1500 * MINUTE_MS, "1"),
    ]
    assert stored() == truth(["LTCUSDT"])


def test_what_file_and_api_lack_is_a_hole_and_not_asked_again(archive, stored, truth, sql):
    holes = frozenset({NOON_MS, NOON_MS + MINUTE_MS})
    running = archive(clock_ms=PUBLISHED_MS, overrides={"LTCUSDT": SymbolOverride(holes=holes)})
    summary = backfill("LTCUSDT", **RECORDING)
    assert (summary.exit, summary.missing, summary.holes, summary.candle_requests) == (0, 0, 2, 1)
    assert sql("SELECT open_time FROM laklak_holes ORDER BY open_time") == [(time_ms,) for time_ms in sorted(holes)]
    assert stored() == {key: values for key, values in truth(["LTCUSDT"]).items() if key[1] not in holes}
    files = files_asked(running)
    again = backfill("LTCUSDT", **RECORDING)
    assert (again.exit, again.holes, again.candle_requests, files_asked(running)) == (0, 2, 0, files)


def test_a_hole_that_is_filled_later_is_found_by_a_recheck(archive, stored, truth):
    running = archive(clock_ms=PUBLISHED_MS, overrides={"LTCUSDT": SymbolOverride(holes=frozenset({NOON_MS}))})
    assert backfill("LTCUSDT", **RECORDING).holes == 1
    running.change("LTCUSDT", holes=frozenset())
    files = files_asked(running)
    summary = backfill("LTCUSDT", **RECORDING, recheck=True)
    assert (summary.exit, summary.written, summary.holes, files_asked(running)) == (0, 1, 0, files)
    assert stored() == truth(["LTCUSDT"])


def test_a_row_that_is_bad_in_file_and_api_is_rejected_and_kept(archive, stored, truth, sql):
    archive(clock_ms=PUBLISHED_MS, overrides={"LTCUSDT": SymbolOverride(bad_rows={NOON_MS: "high_below_low"})})
    summary = backfill("LTCUSDT", **RECORDING)
    assert (summary.exit, summary.missing, summary.rejected, summary.candle_requests) == (1, 0, 1, 1)
    ((time_ms, kind),) = sql("SELECT open_time, kind FROM laklak_holes")
    assert (time_ms, kind) == (NOON_MS, "rejected")
    assert stored() == {key: values for key, values in truth(["LTCUSDT"]).items() if key[1] != NOON_MS}
    again = backfill("LTCUSDT", **RECORDING)
    assert (again.exit, again.rejected, again.candle_requests, again.files.planned) == (0, 1, 0, 0)


def test_a_row_that_is_bad_in_the_file_alone_is_stored_from_the_api(archive, stored, truth):
    running = archive(clock_ms=PUBLISHED_MS, faults=[Fault("archive-badrow", 1.0)])
    summary = backfill("LTCUSDT", **RECORDING)
    assert (summary.exit, summary.rejected, summary.rows_rejected, summary.files.read) == (0, 0, 4, 4)
    assert {(hit.weight, hit.query["limit"]) for hit in running.candle_hits} == {(1, "1")}
    assert stored() == truth(["LTCUSDT"])


def test_a_day_that_a_month_lacks_comes_from_the_api(archive, autumn, sql):
    fault = Fault("archive-missing-day", symbol="BTCUSDT", period="2026-10-09")
    running = archive(autumn, faults=[fault])
    october = {"start": "2026-10-01", "end": "2026-11-01"}
    summary = backfill("BTCUSDT", **october)
    assert (summary.exit, summary.missing, summary.holes, summary.files.read) == (0, 0, 0, 1)
    assert summary.files.candles == 30 * 1440
    assert sum(int(hit.query["limit"]) for hit in running.candle_hits) == 1440
    backfill("BTCUSDT", **october, source="rest", store="rest.db")
    assert rows_in(sql, "laklak.db") == rows_in(sql, "rest.db")


# Files that are not there, or wrong


def test_a_month_that_is_not_there_is_taken_from_its_days(archive, autumn, sql):
    running = archive(autumn, faults=[Fault("archive-missing", symbol="BTCUSDT", period="2026-10")])
    october = {"start": "2026-10-01", "end": "2026-11-01"}
    summary = backfill("BTCUSDT", **october)
    files = summary.files
    assert (summary.exit, summary.candle_requests) == (0, 0)
    assert (files.planned, files.read, files.absent, files.done) == (32, 31, 1, 32)
    assert zips_sent(running, "daily") == 31
    backfill("BTCUSDT", **october, source="rest", store="rest.db")
    assert rows_in(sql, "laklak.db") == rows_in(sql, "rest.db")


@pytest.mark.parametrize("words", sorted(OUTCOMES))
def test_a_fault_of_a_file_changes_no_row_and_is_named(words, archive, stored, truth, clean_room):
    kind, _, detail = words.partition(":")
    lone = {} if kind in ("archive-5xx", "archive-reset") else {"symbol": "LTCUSDT", "period": "2026-02-26"}
    fault = Fault(kind, 0.0 if lone else 0.5, detail=detail or ("0.1s" if kind == "archive-slow" else None), **lone)
    running = archive(clock_ms=PUBLISHED_MS, faults=[fault], seed=3)
    outside = tree(clean_room.parent)
    summary = backfill("LTCUSDT", **RECORDING)
    assert (summary.exit, summary.missing, summary.holes, summary.rejected) == (0, 0, 0, 0)
    assert stored() == truth(["LTCUSDT"])
    files = summary.as_json()["files"]
    assert (files["read"], files["absent"], files["failed"]) == OUTCOMES[words]
    assert len(files["troubles"]) == sum(files["failed"].values())
    assert all("LTCUSDT-1m-2026-02-26" in trouble for trouble in files["troubles"])
    assert kind == "archive-missing-day" or running.simulator.stats.faults[kind] > 0
    assert (files["retries"] > 0) == (kind in ("archive-5xx", "archive-reset"))
    created = tree(clean_room.parent) - outside
    assert {name for name in created if not name.startswith(("work/laklak.db", "home/"))} == set()
    assert not Path("/tmp/evil.csv").exists()  # noqa: S108


def test_every_kind_of_fault_of_the_archive_is_tried_here():
    assert {words.partition(":")[0] for words in OUTCOMES} == set(ARCHIVE_KINDS)


@pytest.mark.parametrize("seed", [13, 25])
def test_many_faults_together_change_no_row(seed, archive, stored, truth, recorded):
    faults = [
        Fault("archive-missing", 0.2),
        Fault("archive-checksum", 0.05),
        Fault("archive-cut", 0.05),
        Fault("archive-5xx", 0.02),
    ]
    running = archive(clock_ms=PUBLISHED_MS, faults=faults, seed=seed)
    summary = backfill(*recorded.symbols, **RECORDING)
    files = summary.files
    assert (summary.exit, summary.complete, summary.missing) == (0, True, 0)
    assert files.planned == files.done == files.read + files.absent + sum(files.failed.values())
    assert (files.absent > 0, set(files.failed)) == (True, {"checksum", "zip"})
    assert files.retries == running.simulator.stats.faults["archive-5xx"] > 0
    assert stored() == truth(recorded.symbols)


@pytest.mark.parametrize("seed", [1, 2])
def test_everything_that_can_be_wrong_with_files_at_once_changes_no_row(
    seed, archive, recorded, monkeypatch, stored, truth
):
    monkeypatch.setattr("random.random", lambda: 0.0)  # no waiting between tries
    faults = [Fault(kind, 0.04, detail="0.05s" if kind == "archive-slow" else None) for kind in ARCHIVE_KINDS]
    lacking = frozenset(range(NOON_MS, NOON_MS + 400 * MINUTE_MS, 7 * MINUTE_MS))
    overrides = {symbol: SymbolOverride(archive_holes=lacking) for symbol in recorded.symbols}
    archive(clock_ms=PUBLISHED_MS, faults=faults, seed=seed, overrides=overrides)
    summary = backfill(*recorded.symbols, **RECORDING)
    assert (summary.exit, summary.missing, summary.holes, summary.rejected) == (0, 0, 0, 0)
    assert len(summary.files.failed) >= 2
    assert stored() == truth(recorded.symbols)


def test_files_that_are_answered_with_a_redirect_are_not_followed_anywhere(archive, stored, truth):
    elsewhere = Override(status=302, headers={"Location": "http://127.0.0.1:9/evil.zip"})
    archive(clock_ms=PUBLISHED_MS, archive_script=lambda path, query, number: elsewhere)
    summary = backfill("LTCUSDT", **RECORDING)
    assert (summary.exit, summary.missing, dict(summary.files.failed)) == (0, 0, {"archive_refused": 4})
    assert "302" in summary.files.troubles[0]
    assert stored() == truth(["LTCUSDT"])


# One of the two sources is gone


def test_without_a_regions_api_auto_goes_on_with_files_and_says_what_stays_missing(
    archive, laklak, check_sum, stored, truth
):
    running = archive(faults=[Fault("451", 1.0, everywhere=True)])
    ended = laklak("backfill", *SYMBOLS, "--start", "2026-02-25", "--end", "2026-03-01", "--json")
    answer = check_sum(ended.json)
    # With the venue's clock out of reach the machine's own says that all four days are published.
    assert (ended.exit, answer["missing"], answer["files"]["read"]) == (1, 2 * 1440, 6)
    assert [failed["reason"] for failed in answer["failed_series"]] == ["no_source"] * 2
    (warning,) = ended.lines("warning")
    assert "going on with the bulk files alone" in warning
    assert running.candle_hits == []
    assert stored() == truth(SYMBOLS, 0, END_MS - DAY_MS)


@pytest.mark.parametrize("first", [1, 3])
def test_a_region_that_is_refused_in_the_middle_leaves_the_files(first, archive, laklak, check_sum, stored, truth):
    def script(path, query, number):
        return Override(fault="451") if path == KLINES and len(asked.append(number) or asked) >= first else None

    asked = []
    archive(script=script)
    ended = laklak("backfill", *SYMBOLS, "--days", "4", "--json", "--chunk", "499")
    answer = check_sum(ended.json)
    assert (ended.exit, answer["error"], answer["files"]["read"]) == (1, None, 6)
    assert answer["missing"] == 2 * 1440 - sum(key[1] >= END_MS - DAY_MS for key in stored())
    assert len([line for line in ended.lines("warning") if "going on with the bulk files alone" in line]) == 1
    everything = truth(SYMBOLS)
    assert {key: everything[key] for key in stored()} == stored()
    assert set(truth(SYMBOLS, 0, END_MS - DAY_MS)) <= set(stored())


def test_files_alone_never_ask_for_klines(archive, stored, truth):
    running = archive(clock_ms=PUBLISHED_MS)
    summary = backfill(*SYMBOLS, **RECORDING, source="archive")
    assert (summary.exit, summary.missing, summary.candle_requests) == (0, 0, 0)
    assert running.candle_hits == []
    assert stored() == truth(SYMBOLS)


def test_files_alone_do_without_the_api(archive, monkeypatch, stored, truth):
    archive(clock_ms=PUBLISHED_MS)
    monkeypatch.setenv("LAKLAK_BINANCE_URL", "http://127.0.0.1:9")
    summary = backfill(*SYMBOLS, **RECORDING, source="archive")
    assert (summary.exit, summary.missing) == (0, 0)
    assert stored() == truth(SYMBOLS)


def test_without_the_api_auto_cannot_start(archive, monkeypatch):
    archive()
    monkeypatch.setenv("LAKLAK_BINANCE_URL", "http://127.0.0.1:9")
    with pytest.raises(VenueUnreachable):
        backfill("LTCUSDT", days=4)


def test_the_files_of_the_real_venue_are_not_asked_when_only_the_address_of_the_api_is_given(venue, stored, truth):
    venue()
    summary = backfill(*SYMBOLS, days=4)
    assert (summary.exit, summary.files.planned) == (0, 0)
    assert stored() == truth(SYMBOLS)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "http://no-such-host.invalid"])
def test_an_archive_that_is_down_costs_a_warning_and_little_time(
    url, archive, laklak, monkeypatch, stored, truth, recorded
):
    archive()
    monkeypatch.setenv("LAKLAK_BINANCE_ARCHIVE_URL", url)
    ended = laklak("backfill", *recorded.symbols, "--days", "4", "--json")
    assert (ended.exit, ended.json["missing"]) == (0, 0)
    assert len([line for line in ended.lines("warning") if "without the bulk files" in line]) == 1
    assert ended.json["seconds"] < 8
    assert stored() == truth(recorded.symbols)


def test_an_archive_that_dies_in_the_middle_leaves_the_rest_to_the_api(archive, monkeypatch, recorded, stored, truth):
    monkeypatch.setattr("random.random", lambda: 0.0)  # no waiting between tries
    monkeypatch.setattr("laklak.download.DEAD_AFTER_S", 0.0)

    def script(path, query, number):
        return Override(fault="archive-reset") if number > 20 else None

    archive(clock_ms=PUBLISHED_MS, archive_script=script)
    summary = backfill(*recorded.symbols, **RECORDING, archive_connections=2)
    files = summary.files
    assert (summary.exit, summary.missing, files.done) == (0, 0, files.planned)
    assert (files.read >= 8, set(files.failed)) == (True, {"unreachable"})
    # Eight files in a row, and those beside them: the others are named too, but not tried.
    assert files.requests <= 20 + 6 * (8 + 2)
    assert stored() == truth(recorded.symbols)


def test_a_ban_of_the_api_does_not_stop_the_files(archive, recorded, stored, truth):
    def script(path, query, number):
        return Override(fault="418") if path == KLINES else None

    archive(script=script, ban_s=3600, latency_s=0.01)
    summary = backfill(*recorded.symbols, days=4, archive_connections=2, max_wait="5s")
    assert (summary.exit, summary.files.read, summary.missing) == (75, 7 * 3, 7 * 1440)
    assert (summary.error is not None, summary.banned_until is not None) == (True, True)
    assert stored() == truth(recorded.symbols, 0, END_MS - DAY_MS)


def test_an_api_that_falls_silent_does_not_stop_the_files(archive, recorded, monkeypatch, stored, truth):
    monkeypatch.setattr("random.random", lambda: 0.0)

    def script(path, query, number):
        return Override(fault="reset") if path == KLINES else None

    archive(script=script, latency_s=0.05)
    summary = backfill(*recorded.symbols, days=4, archive_connections=1, chunk=99, workers=4, max_wait="1s")
    assert (summary.exit, summary.files.read, summary.missing) == (1, 7 * 3, 7 * 1440)
    assert summary.error is not None
    assert stored() == truth(recorded.symbols, 0, END_MS - DAY_MS)


@pytest.mark.parametrize("fault", ["429", "reset"])
def test_time_in_which_only_files_were_fetched_is_no_silence_of_the_api(fault, archive, monkeypatch, stored, truth):
    """The API is asked nothing for longer than --max-wait, and its next answer but one is good."""
    monkeypatch.setattr("random.random", lambda: 0.0)

    def script(path, query, number):
        if path != KLINES:
            return None
        asked.append(number)
        return (
            Override(429, {"Retry-After": "1"}, b"{}")
            if fault == "429" and len(asked) == 1
            else (Override(fault="reset") if fault == "reset" and len(asked) <= 12 else None)
        )

    asked = []
    lacking = {"LTCUSDT": SymbolOverride(archive_holes=frozenset({NOON_MS, NOON_MS + 1500 * MINUTE_MS}))}
    slow = [Fault("archive-slow", 1.0, detail="0.2s")]
    archive(clock_ms=PUBLISHED_MS, overrides=lacking, script=script, faults=slow)
    summary = backfill("LTCUSDT", **RECORDING, archive_connections=1, max_wait="1s")
    assert summary.error is None
    assert summary.missing == (0 if fault == "429" else 2)


# Memory


def test_hostile_months_take_little_memory(archive, autumn, tmp_path, sql):
    """Two gigabytes of zeros in each of two files, one of which says so in its headers."""
    faults = [
        Fault("archive-bomb", symbol=symbol, period="2026-10", detail=detail)
        for symbol, detail in zip(autumn.symbols, ("honest", "lying"), strict=True)
    ]
    archive(autumn, faults=faults)
    words = ["backfill", *autumn.symbols, "--start", "2026-10-01", "--end", "2026-11-01", "--json"]
    program = (
        "import sys\nfrom laklak.cli import run\nrun(sys.argv[1:])\n"
        "print(*(line for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )
    ended = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, check=True, text=True)
    answer, most = filter(None, ended.stdout.splitlines())
    assert (json.loads(answer)["exit"], json.loads(answer)["files"]["failed"]) == (0, {"zip": 2})
    assert int(most.split()[1]) < 300 * 1024
    assert len(rows_in(sql, "laklak.db")) == 2 * 31 * 1440


@pytest.mark.long
def test_no_more_candles_are_in_memory_than_allowed_however_many_files_are_fetched_at_once(
    archive, autumn, monkeypatch
):
    archive(autumn, faults=[Fault("archive-missing", symbol="BTCUSDT", period="2026-10")])
    monkeypatch.setenv("LAKLAK_ARCHIVE_FILES", "1")
    in_memory, files = [], []

    def read_and_count(downloads, archive):
        files.extend(downloads)
        tables = [one for one in gc.get_objects() if isinstance(one, CandleTable)]
        in_memory.append(sum(map(len, tables)))
        return read_files(downloads, archive)

    monkeypatch.setattr("laklak.files.read_files", read_and_count)
    summary = backfill("BTCUSDT", days=54, archive_connections=53)
    assert (summary.exit, len(files)) == (0, 53)
    # The days of a month, and those that are just being taken apart.
    assert max(in_memory) <= (31 + 8) * 1440


# Stopping


def wait_for_files(running, count):
    deadline = time.monotonic() + 20
    while files_asked(running) < count:
        assert time.monotonic() < deadline, f"only {files_asked(running)} files were asked for"
        time.sleep(0.005)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_in_the_middle_of_files_keeps_what_is_there(
    number, status, archive, laklak, check_sum, recorded, stored, truth
):
    words = ("backfill", *recorded.symbols, "--days", "4", "--archive-connections", "4", "--json")
    running = archive(faults=[Fault("archive-slow", 1.0, detail="0.2s")])
    process = laklak.start(*words)
    wait_for_files(running, 14)
    process.send_signal(number)
    asked_s = time.monotonic()
    ended = laklak.wait(process)
    assert time.monotonic() - asked_s < 5
    answer = check_sum(ended.json)
    assert (ended.exit, answer["exit"], answer["complete"]) == (status, status, False)
    assert 1440 <= answer["written"] == len(stored()) < 7 * 4 * 1440
    archive()
    again = laklak(*words)
    assert (again.exit, again.json["missing"], again.json["stored_before"]) == (0, 0, answer["written"])
    assert stored() == truth(recorded.symbols)


def test_a_run_that_is_killed_in_the_middle_of_files_is_completed_by_the_next(archive, laklak, recorded, stored, truth):
    words = ("backfill", *recorded.symbols, "--days", "4", "--archive-connections", "4", "--json")
    running = archive(faults=[Fault("archive-slow", 1.0, detail="0.2s")])
    process = laklak.start(*words)
    wait_for_files(running, 24)
    process.kill()
    process.wait()
    everything = truth(recorded.symbols)
    partly = stored()
    assert partly == {key: everything[key] for key in partly}
    archive()
    again = laklak(*words)
    assert (again.exit, again.json["missing"], again.json["stored_before"]) == (0, 0, len(partly))
    assert stored() == everything


# The rest of the world


def test_files_alone_can_be_had_during_a_ban_also_one_that_is_remembered(archive, stored, truth):
    running = archive(clock_ms=PUBLISHED_MS)
    running.simulator.ban(3600)
    for refetch in (False, True):
        summary = backfill("LTCUSDT", source="archive", refetch=refetch, **RECORDING)
        assert (summary.exit, summary.missing, summary.written) == (0, 0, 4 * 1440)
    assert stored() == truth(["LTCUSDT"])


def test_files_are_fetched_through_the_proxy_of_the_environment(archive, monkeypatch, stored, truth):
    running = archive(clock_ms=PUBLISHED_MS)
    # The simulator answers whatever path it is asked for, so it can play the proxy too.
    monkeypatch.setenv("http_proxy", running.url)
    monkeypatch.setenv("LAKLAK_BINANCE_URL", "http://api.invalid")
    monkeypatch.setenv("LAKLAK_BINANCE_ARCHIVE_URL", "http://files.invalid")
    summary = backfill("LTCUSDT", **RECORDING)
    assert (summary.exit, summary.missing, summary.files.read) == (0, 0, 4)
    assert stored() == truth(["LTCUSDT"])


def test_a_dry_run_shows_the_split_and_asks_for_no_file(archive, laklak, clean_room):
    running = archive()
    words = ("backfill", *SYMBOLS, "--days", "4", "--dry-run")
    estimate = laklak(*words, "--json").json
    assert (estimate["files"], estimate["file_candles"], estimate["out_of_reach"]) == (6, 6 * 1440, 0)
    assert estimate["to_fetch"] == 8 * 1440
    assert 100_000 < estimate["file_bytes"] < 1_000_000
    assert estimate["requests"] > 0
    shown = laklak(*words)
    assert "8,640 from 6 files" in shown.out + shown.err
    alone = laklak(*words, "--json", "--source", "archive").json
    assert (alone["files"], alone["requests"], alone["out_of_reach"]) == (6, 0, 2 * 1440)
    assert (files_asked(running), running.candle_hits) == (0, [])
    assert not (clean_room / "laklak.db").exists()


def test_what_came_from_files_is_in_the_summary_and_adds_up(archive, laklak, check_sum):
    running = archive(faults=[Fault("archive-cut", symbol="LTCUSDT", period="2026-02-26")])
    ended = laklak("backfill", *SYMBOLS, "--days", "4", "--json", "--store", "other.db")
    files = check_sum(ended.json)["files"]
    assert ended.exit == 0
    assert (files["planned"], files["read"], files["absent"], files["failed"]) == (6, 5, 0, {"zip": 1})
    assert files["candles"] == 5 * 1440
    assert (files["requests"], files["received_bytes"]) == (12, running.simulator.stats.archive_bytes)
    ended = laklak("backfill", *SYMBOLS, "--days", "4")
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
