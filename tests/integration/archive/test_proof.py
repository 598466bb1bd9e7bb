"""A minute is a hole when every source that can know lacks it: the API, and the file of its day."""

from __future__ import annotations

import time

import pytest
from bulk_files import backfill
from lost_minutes import (
    DAY,
    FILE,
    HALF_HOUR,
    LACKING,
    MORNING,
    account,
    fails,
    lose,
    symbol,
    whole,
    zips,
)
from lying_venue import FILES, MINUTE_MS, minutes, ms

import laklak as library

SERIES = "binance:AAAUSDT:1m"


# Minutes that the API lacks, while their file is published


def test_what_the_api_lacks_and_the_file_has_is_stored(lying, stored):
    summary = backfill("AAAUSDT", **HALF_HOUR)

    assert account(summary) == (0, 30, 0, 0)
    assert whole(stored, "2026-03-01T07:00", 30)
    assert zips(lying) == [FILE]
    assert (summary.files.planned, summary.files.read, summary.files.candles) == (1, 1, 30)


def test_what_both_lack_is_a_hole_that_says_what_it_was_held_against(lying, noted):
    lose(lying)

    summary = backfill("AAAUSDT", **MORNING)

    assert account(summary) == (0, 60, 30, 0)
    rows = noted()
    assert [row[0] for row in rows] == sorted(LACKING)
    assert {row[1:3] for row in rows} == {("hole", f"two complete answers lack it; {FILE} lacks it too")}
    assert all(lying.clock_ms <= row[3] < lying.clock_ms + MINUTE_MS for row in rows)
    assert zips(lying) == [FILE]


def test_a_file_that_has_some_of_it_leaves_holes_of_the_rest(lying, noted, stored):
    lose(lying, minutes("2026-03-01T07:10", 5))

    summary = backfill("AAAUSDT", **MORNING)

    assert account(summary) == (0, 85, 5, 0)
    assert [row[0] for row in noted()] == sorted(minutes("2026-03-01T07:10", 5))
    assert set(minutes("2026-03-01T06:30", 90)) - {key[1] for key in stored()} == minutes("2026-03-01T07:10", 5)


def test_a_file_is_asked_once_however_many_questions_its_day_takes(lying):
    holes = {time_ms for hour in range(0, 24, 2) for time_ms in minutes(f"2026-03-01T{hour:02d}:20", 2)}
    symbol(lying).holes = set(holes)

    summary = backfill("AAAUSDT", start="2026-03-01", end="2026-03-02T12:00", source="auto", chunk=99, workers=1)

    # The first is taken for its own candles; the day after is not published yet.
    assert account(summary) == (0, 36 * 60, 0, 0)
    lying.forget()
    for time_ms in holes:
        symbol(lying).file_holes.add(time_ms)
    again = backfill("AAAUSDT", start="2026-03-01T00:00", end="2026-03-01T06:00", chunk=20, workers=1, store="b.db")
    assert account(again) == (0, 354, 6, 0)
    assert zips(lying) == [FILE]


def test_a_day_whose_file_was_read_for_other_minutes_is_not_asked_again(lying, noted):
    lose(lying)

    summary = backfill("AAAUSDT", **DAY)

    assert account(summary) == (0, 1410, 30, 0)
    assert zips(lying) == [FILE]
    assert {row[2] for row in noted()} == {f"two complete answers lack it; {FILE} lacks it too"}
    assert all(row[3] >= lying.clock_ms for row in noted())


def test_a_month_that_was_read_counts_as_asked(lying, noted):
    lying.clock_ms = ms("2026-04-10T12:00:30")
    lose(lying)

    summary = backfill("AAAUSDT", start="2026-03-01", end="2026-04-01")

    assert account(summary) == (0, 31 * 1440 - 30, 30, 0)
    assert zips(lying) == ["AAAUSDT-1m-2026-03.zip"]
    assert {row[2] for row in noted()} == {"two complete answers lack it; AAAUSDT-1m-2026-03.zip lacks it too"}


def test_a_month_that_lacks_a_whole_day_says_nothing_about_it(lying, stored):
    """Such months are published while the file of the day is there."""
    lying.clock_ms = ms("2026-04-10T12:00:30")
    day = minutes("2026-03-09", 1440)
    symbol(lying).holes = set(day)
    lying.file_rows = lambda name, stem, rows: [row for row in rows if row[0] not in day or stem.endswith("-09")]

    summary = backfill("AAAUSDT", start="2026-03-01", end="2026-04-01")

    assert account(summary) == (0, 31 * 1440, 0, 0)
    assert zips(lying) == ["AAAUSDT-1m-2026-03.zip", "AAAUSDT-1m-2026-03-09.zip"]


def test_a_file_that_is_not_there_counts_as_lacking(lying, noted):
    symbol(lying).no_files.add("2026-03-01")

    summary = backfill("AAAUSDT", **HALF_HOUR)

    assert account(summary) == (0, 0, 30, 0)
    assert {row[2] for row in noted()} == {f"two complete answers lack it; {FILE} is not there"}
    assert (zips(lying), summary.files.absent) == ([FILE], 1)


def test_a_day_whose_file_was_not_there_is_asked_once_in_a_run(lying, noted):
    symbol(lying).no_files.add("2026-03-01")

    summary = backfill("AAAUSDT", **DAY)

    assert account(summary) == (0, 1410, 30, 0)
    assert zips(lying) == [FILE]
    assert all(row[3] for row in noted())


def test_a_file_that_is_not_sound_counts_as_asked_and_the_hole_says_so(lying, noted):
    lying.file_rows = lambda name, stem, rows: [row[:-1] for row in rows]

    summary = backfill("AAAUSDT", **HALF_HOUR)

    assert account(summary) == (0, 0, 30, 0)
    assert {row[2] for row in noted()} == {f"two complete answers lack it; {FILE} is not sound (csv)"}
    assert (zips(lying), dict(summary.files.failed)) == ([FILE], {"csv": 1})


def test_a_wrong_checksum_is_worth_another_download_here_too(lying, stored):
    told = []

    def tell(asked):
        if asked.path.endswith(".CHECKSUM") and not told:
            told.append(asked)
            return 200, f"{'0' * 64}  {FILE}\n".encode()
        return None

    lying.tell = tell

    summary = backfill("AAAUSDT", **HALF_HOUR)

    assert account(summary) == (0, 30, 0, 0)
    assert zips(lying) == [FILE, FILE]


@pytest.mark.parametrize("status", [503, 403])
def test_a_file_that_cannot_be_had_now_proves_nothing(status, lying, here, noted, timing):
    timing(backoff_most_s=0.01)
    fails(lying, FILES, status)

    ended = here("backfill", "AAAUSDT", "--start", MORNING["start"], "--end", MORNING["end"], "--json")

    answer = ended.json
    assert (ended.exit, answer["written"], answer["holes"], answer["missing"]) == (1, 60, 0, 30)
    (failed,) = answer["failed_series"]
    assert failed["reason"] == "unproven"
    why = f"30 candles: the API gives none that is sound, and the file that may cannot be had now: {FILE}: 127.0.0.1:"
    assert failed["detail"].startswith(why)
    assert str(status) in failed["detail"]
    assert noted() == []
    lying.tell = lambda asked: None
    assert account(backfill("AAAUSDT", **MORNING)) == (0, 30, 0, 0)


def test_an_archive_that_is_down_proves_nothing(lying, noted, monkeypatch):
    monkeypatch.setenv("LAKLAK_BINANCE_ARCHIVE_URL", "http://127.0.0.1:9")

    summary = backfill("AAAUSDT", **DAY)

    assert account(summary) == (1, 1410, 0, 30)
    assert noted() == []


def test_rest_alone_asks_no_file_and_remembers_holes_that_were_held_against_none(lying, noted):
    summary = backfill("AAAUSDT", **HALF_HOUR, source="rest")

    assert account(summary) == (0, 0, 30, 0)
    assert {row[1:] for row in noted()} == {("hole", "two complete answers lack it", None)}
    assert zips(lying) == []


def test_without_an_address_of_files_it_is_as_with_rest_alone(lying, noted, monkeypatch):
    monkeypatch.delenv("LAKLAK_BINANCE_ARCHIVE_URL")

    assert account(backfill("AAAUSDT", **HALF_HOUR)) == (0, 0, 30, 0)
    assert {row[3] for row in noted()} == {None}
    assert account(backfill("AAAUSDT", **HALF_HOUR)) == (0, 0, 30, 0)


def test_a_day_before_the_first_file_is_settled_by_the_api_alone(lying, noted):
    symbol(lying).first_ms = ms("2019-10-01")
    symbol(lying).entry["onboardDate"] = ms("2019-10-01")
    symbol(lying).holes = minutes("2019-11-01T07:00", 30)

    summary = backfill("AAAUSDT", start="2019-11-01T06:00", end="2019-11-01T08:00")

    assert account(summary) == (0, 90, 30, 0)
    assert ({row[3] for row in noted()}, zips(lying)) == ({None}, [])
    assert account(backfill("AAAUSDT", start="2019-11-01T06:00", end="2019-11-01T08:00"))[1:] == (0, 30, 0)
    assert zips(lying) == []


@pytest.mark.parametrize(("interval", "count"), [("5m", 6), ("1h", 1), ("1d", 1)])
def test_other_intervals_have_files_of_their_own(interval, count, lying, stored, noted):
    symbol(lying).holes = minutes("2026-03-01", 1440) if interval == "1d" else minutes("2026-03-01T07:00", 60)
    day = {"start": "2026-02-28", "end": "2026-03-03"}

    summary = backfill("AAAUSDT", **day, interval=interval)

    assert (summary.exit, summary.holes, summary.missing) == (0, 0, 0)
    assert summary.written == summary.wanted
    assert f"AAAUSDT-{interval}-2026-03-01.zip" in zips(lying)


# Rows that the API garbles


def garbled(name, query, rows):
    return [[row[0], row[1], "0", *row[3:]] if row[0] in LACKING else row for row in rows]


def test_a_sound_row_of_the_file_wins_over_one_that_the_api_garbles(lying, stored):
    symbol(lying).holes.clear()
    lying.tell_rows = garbled

    summary = backfill("AAAUSDT", **MORNING)

    assert (*account(summary), summary.rejected) == (0, 90, 0, 0, 0)
    assert whole(stored, "2026-03-01T06:30", 90)


def test_a_row_that_the_api_garbles_and_the_file_lacks_is_rejected(lying, noted):
    symbol(lying).holes.clear()
    lose(lying)
    lying.tell_rows = garbled

    summary = backfill("AAAUSDT", **MORNING)

    assert (*account(summary), summary.rejected) == (1, 60, 0, 0, 30)
    rows = noted()
    assert {row[1] for row in rows} == {"rejected"}
    assert all(row[2].endswith(f"; {FILE} lacks it too") and row[3] for row in rows)
    again = backfill("AAAUSDT", **MORNING)
    assert (again.exit, again.rejected, again.candle_requests) == (0, 30, 0)


def test_a_row_that_is_garbled_in_the_file_alone_leaves_the_hole_with_what_it_says(lying, noted):
    lying.file_rows = lambda name, stem, rows: garbled(name, None, rows)

    summary = backfill("AAAUSDT", **MORNING)

    assert account(summary) == (0, 60, 30, 0)
    assert all(FILE in row[2] and "a price is not above zero" in row[2] for row in noted())


# Every store


@pytest.mark.parametrize("server", ["influxd", pytest.param("influxd2", marks=pytest.mark.long)])
def test_on_influxdb_holes_are_held_against_files_likewise(server, lying, request, monkeypatch):
    server = request.getfixturevalue(server)
    if server.__class__.__name__ == "Influxd2":
        monkeypatch.setenv("LAKLAK_INFLUXDB_TOKEN", server.token)
    where = server.url(f"proof_{time.monotonic_ns()}")
    lose(lying, minutes("2026-03-01T07:10", 5))
    assert account(backfill("AAAUSDT", **MORNING, source="rest", store=where)) == (0, 60, 30, 0)

    summary = backfill("AAAUSDT", **MORNING, store=where)
    lying.forget()
    again = backfill("AAAUSDT", **MORNING, store=where)

    assert (*account(summary), summary.holes_filled) == (0, 25, 5, 0, 25)
    assert (account(again), zips(lying)) == ((0, 0, 5, 0), [])
    assert library.read_candles(where, SERIES).height == 85
