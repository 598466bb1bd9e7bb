"""Bulk files are followed beyond the ends that klines show, and what could not be asked there stays open."""

from __future__ import annotations

import pytest
from bulk_files import backfill
from lost_minutes import account, fails, symbol, zips
from lying_venue import FILES, minutes, ms

SPAN = {"start": "2026-02-20", "end": "2026-03-17"}
DAY = 1440


@pytest.fixture
def early(lying, timing):
    """Klines begin on 2026-03-10, files five days earlier; the candles before lie in files of days alone."""
    timing(backoff_most_s=0.01)
    lying.clock_ms = ms("2026-03-18T12:00:30")
    entry = symbol(lying)
    entry.holes, entry.first_ms, entry.file_first_ms = set(), ms("2026-03-10"), ms("2026-03-05T06:00")
    entry.entry["onboardDate"] = entry.first_ms
    return lying


@pytest.fixture
def delisted(lying, timing):
    """Klines end with January, at midnight; files go on until 2026-03-05T06:00."""
    timing(backoff_most_s=0.01)
    lying.clock_ms = ms("2026-05-10T12:00:30")
    lying.list("BBBUSDT", first="2026-01-01")
    lying.list("OLDUSDT", first="2026-01-01", last="2026-03-05T05:59", status="SETTLING")
    lying.tell_rows = lambda name, query, rows: (
        [row for row in rows if row[0] < ms("2026-02-01")] or klines_of_january(query) if name == "OLDUSDT" else rows
    )
    return lying


def klines_of_january(query):
    """What is asked for the newest candle is answered with the last of January."""
    last_ms = ms("2026-01-31T23:59")
    if "startTime" in query:
        return []
    return [[last_ms, "1", "1", "1", "1", "1", last_ms + 59_999, "1", 1, "1", "1", "0"]]


def only_day(day, status, body=b""):
    return lambda asked: (status, body) if f"{day}.zip" in asked.path and not asked.path.endswith("M") else None


# Before the first candle


@pytest.mark.parametrize("source", ["auto", "archive"])
def test_files_before_a_first_candle_at_midnight_are_followed(source, early, stored):
    summary = backfill("AAAUSDT", **SPAN, source=source)

    assert account(summary) == (0, 7 * DAY + 5 * DAY - 360, 0, 0)
    assert min(stored())[1] == ms("2026-03-05T06:00")
    assert [(one.series, one.first_ms) for one in summary.begun_series] == [
        ("binance:AAAUSDT:1m", ms("2026-03-05T06:00"))
    ]
    early.forget()
    again = backfill("AAAUSDT", **SPAN, source=source)
    assert (again.exit, again.stored_before, again.missing, zips(early)) == (0, summary.written, 0, [])


@pytest.mark.parametrize("options", [{}, {"recheck": True}])
@pytest.mark.parametrize(("status", "body"), [(503, b""), (403, b""), (200, b"no zip at all")])
def test_a_file_that_cannot_be_had_on_the_way_back_leaves_the_start_open_until_it_can(
    status, body, options, early, stored
):
    early.tell = only_day("2026-03-07", status, body)

    summary = backfill("AAAUSDT", **SPAN)

    assert account(summary) == (1, 9 * DAY, 0, 0)
    assert not summary.complete
    (failed,) = summary.failed_series
    assert failed.reason == "unproven"
    open_start = "whether there are candles before 2026-03-08T00:00Z is not known, the next run asks again"
    assert failed.detail.startswith(f"{open_start}: AAAUSDT-1m-2026-03-07")
    assert summary.begun_series == ()
    assert account(backfill("AAAUSDT", **SPAN)) == (1, 0, 0, 0)
    early.tell = lambda asked: None
    again = backfill("AAAUSDT", **SPAN, **options)
    assert account(again) == (0, 3 * DAY - 360, 0, 0)
    assert min(stored())[1] == ms("2026-03-05T06:00")


def test_a_file_that_comes_late_on_the_way_back_fills_its_holes_a_week_after_it_was_due(early, stored):
    early.clock_ms = ms("2026-03-11T12:00:30")
    symbol(early).no_files.add("2026-03-07")
    span = {"start": "2026-02-20", "end": "2026-03-11"}

    summary = backfill("AAAUSDT", **span)

    assert account(summary) == (0, 5 * DAY - 360, DAY, 0)
    symbol(early).no_files.clear()
    early.clock_ms = ms("2026-03-16T12:00:30")
    assert account(backfill("AAAUSDT", **span)) == (0, DAY, 0, 0)
    assert min(stored())[1] == ms("2026-03-05T06:00")


def test_behind_a_wall_that_no_file_passes_klines_count_and_files_are_asked_when_they_can_be(early, monkeypatch):
    with monkeypatch.context() as wall:
        wall.setenv("LAKLAK_BINANCE_ARCHIVE_URL", "http://127.0.0.1:9")
        assert account(backfill("AAAUSDT", **SPAN)) == (0, 7 * DAY, 0, 0)

    assert backfill("AAAUSDT", **SPAN).written > 0


def test_a_start_without_files_before_it_is_held_against_them_until_none_comes_late_and_once_with_the_month(early):
    symbol(early).file_first_ms = None
    asked = {}
    for clock in ("2026-03-10T08:59:30", "2026-03-11T12:00:30", "2026-03-18T12:00:30", "2026-03-20", "2026-04-05"):
        early.clock_ms = ms(clock)
        early.forget()
        assert backfill("AAAUSDT", start="2026-02-20", end="2026-03-10T08:00").exit == 0
        asked[clock] = zips(early)

    before, month = "AAAUSDT-1m-2026-03-09.zip", "AAAUSDT-1m-2026-02.zip"
    week = [f"AAAUSDT-1m-2026-03-0{day}.zip" for day in range(8, 1, -1)]
    assert asked == {
        "2026-03-10T08:59:30": [],
        "2026-03-11T12:00:30": [before, *week, month],
        "2026-03-18T12:00:30": [before, *week, month],
        "2026-03-20": [],
        "2026-04-05": [before, "AAAUSDT-1m-2026-03.zip", week[0], month],
    }


def test_months_are_followed_back_and_a_month_that_is_not_there_by_its_days(early, stored):
    early.clock_ms = ms("2026-06-20T12:00:30")
    entry = symbol(early)
    entry.first_ms, entry.file_first_ms = ms("2026-06-01"), ms("2026-02-27")
    entry.entry["onboardDate"] = entry.first_ms
    entry.no_files |= {"2026-03", "2026-05-31"}

    summary = backfill("AAAUSDT", start="2026-01-01", end="2026-06-02")

    assert account(summary) == (0, (2 + 31 + 30 + 31 + 1) * DAY, 0, 0)
    assert min(stored())[1] == ms("2026-02-27")
    assert [name for name in zips(early) if len(name) == len("AAAUSDT-1m-2026-05.zip")] == [
        f"AAAUSDT-1m-2026-{month}.zip" for month in ("05", "04", "03", "02", "01")
    ]


def test_a_range_that_ends_before_the_first_candle_of_klines_is_filled_from_files(early, stored):
    summary = backfill("AAAUSDT", start="2026-03-01", end="2026-03-07")

    assert account(summary) == (0, 2 * DAY - 360, 0, 0)
    assert min(stored())[1] == ms("2026-03-05T06:00")


@pytest.mark.parametrize("source", ["auto", "archive"])
def test_a_day_that_lacks_before_the_first_candle_of_klines_does_not_end_the_files(source, early, stored):
    symbol(early).no_files.add("2026-03-09")

    summary = backfill("AAAUSDT", **SPAN, source=source)

    assert (summary.written, summary.holes + summary.missing) == (7 * DAY + 4 * DAY - 360, DAY)
    assert min(stored())[1] == ms("2026-03-05T06:00")


@pytest.mark.parametrize("source", ["auto", "archive"])
def test_three_days_that_lack_in_a_row_of_a_month_not_published_do_not_end_the_files(source, early, stored):
    symbol(early).no_files |= {"2026-03-09", "2026-03-08", "2026-03-07"}

    summary = backfill("AAAUSDT", **SPAN, source=source)

    assert (summary.written, summary.holes + summary.missing) == (7 * DAY + 2 * DAY - 360, 3 * DAY)
    assert min(stored())[1] == ms("2026-03-05T06:00")


def test_a_month_that_lacks_with_all_of_its_days_does_not_end_the_files(early, stored):
    early.clock_ms = ms("2026-06-20T12:00:30")
    entry = symbol(early)
    entry.first_ms, entry.file_first_ms = ms("2026-05-01"), ms("2026-03-05")
    entry.entry["onboardDate"] = entry.first_ms
    entry.no_files |= {"2026-04", *(f"2026-04-{day:02}" for day in range(1, 31))}

    summary = backfill("AAAUSDT", start="2026-02-01", end="2026-05-02")

    assert account(summary) == (0, (1 + 27) * DAY, 30 * DAY, 0)
    assert min(stored())[1] == ms("2026-03-05")


# After the last candle


@pytest.mark.parametrize("source", ["auto", "archive"])
def test_a_day_that_lacks_after_the_last_candle_of_klines_does_not_end_the_files(source, delisted, stored):
    delisted.symbols["OLDUSDT"].no_files |= {"2026-02", "2026-02-01"}

    summary = backfill("OLDUSDT", start="2026-01-30", end="2026-05-01", source=source)

    assert (summary.written, summary.holes + summary.missing) == ((2 + 27 + 4) * DAY + 360, DAY)
    assert max(stored())[1] == ms("2026-03-05T05:59")


@pytest.mark.parametrize("source", ["auto", "archive"])
def test_a_delisted_symbol_is_filled_to_the_last_candle_that_its_files_have(source, delisted, stored):
    span = {"start": "2026-01-30", "end": "2026-05-01", "source": source}

    summary = backfill("OLDUSDT", **span)

    assert account(summary) == (0, (2 + 28 + 4) * DAY + 360, 0, 0)
    assert max(stored())[1] == ms("2026-03-05T05:59")
    assert [one.ended_ms for one in summary.ended_series] == [ms("2026-03-05T06:00")]
    delisted.forget()
    again = backfill("OLDUSDT", **span)
    assert (again.exit, again.stored_before, again.wanted, zips(delisted)) == (0, summary.written, summary.written, [])


def test_a_range_after_the_last_candle_of_klines_is_filled_from_files(delisted):
    assert account(backfill("OLDUSDT", start="2026-03-01", end="2026-05-01")) == (0, 4 * DAY + 360, 0, 0)


def test_a_file_after_the_end_that_cannot_be_had_leaves_it_open(delisted):
    fails(delisted, FILES)

    summary = backfill("OLDUSDT", start="2026-01-31T23:00", end="2026-05-01")

    assert account(summary) == (1, 60, 0, 0)
    assert "whether there are candles from 2026-02-01T00:00Z on is not known" in summary.failed_series[0].detail
    delisted.tell = lambda asked: None
    assert account(backfill("OLDUSDT", start="2026-01-31T23:00", end="2026-05-01"))[0] == 0


def test_what_files_lack_beyond_an_end_is_a_hole_when_klines_lack_it_too(delisted, noted):
    lost = minutes("2026-02-10T07:00", 5)
    delisted.symbols["OLDUSDT"].file_holes = lost

    summary = backfill("OLDUSDT", start="2026-01-31", end="2026-05-01")

    assert account(summary) == (0, (1 + 28 + 4) * DAY + 360 - 5, 5, 0)
    assert {row[0] for row in noted()} == lost


def test_a_symbol_that_is_not_listed_any_more_is_followed_likewise(delisted, stored):
    delisted.symbols["OLDUSDT"].listed = False

    summary = backfill("OLDUSDT", start="2026-01-30", end="2026-05-01")

    assert account(summary) == (0, (2 + 28 + 4) * DAY + 360, 0, 0)
