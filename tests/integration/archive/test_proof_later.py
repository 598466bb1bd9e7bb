"""Known holes are held against their files when these are due, and what is said of it."""

from __future__ import annotations

import pytest
from bulk_files import backfill
from lost_minutes import (
    BEFORE,
    DAY,
    DUE,
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
from lying_venue import FILES, KLINES, minutes, ms

# Holes that were found before their file was due


def test_a_hole_that_was_found_before_its_file_was_due_is_filled_by_the_next_run_after_that(lying, stored, noted):
    lying.clock_ms = ms(BEFORE)
    assert account(backfill("AAAUSDT", **HALF_HOUR)) == (0, 0, 30, 0)
    assert ({row[3] for row in noted()}, zips(lying)) == ({None}, [])
    lying.clock_ms = ms(DUE)
    lying.forget()

    summary = backfill("AAAUSDT", **HALF_HOUR)

    assert (*account(summary), summary.holes_filled) == (0, 30, 0, 0, 30)
    assert whole(stored, "2026-03-01T07:00", 30)
    assert (noted(), zips(lying), lying.asked(KLINES)) == ([], [FILE], [])


def test_a_hole_is_held_against_its_file_once_when_it_is_due_and_once_a_week_later(lying, noted):
    lose(lying)
    asked = {}
    for clock in (BEFORE, DUE, "2026-03-05T12:00:30", "2026-03-09T08:59:30", "2026-03-09T09:00:30", "2026-06-01"):
        lying.clock_ms = ms(clock)
        lying.forget()
        assert account(backfill("AAAUSDT", **MORNING))[2:] == (30, 0)
        asked[clock] = zips(lying)

    assert asked == {
        BEFORE: [],
        DUE: [FILE],
        "2026-03-05T12:00:30": [],
        "2026-03-09T08:59:30": [],
        "2026-03-09T09:00:30": [FILE],
        "2026-06-01": [],
    }
    assert {row[2] for row in noted()} == {f"two complete answers lack it; {FILE} lacks it too"}


def test_a_file_that_comes_a_day_late_fills_its_holes_a_week_after_it_was_due(lying, stored):
    symbol(lying).no_files.add("2026-03-01")
    lying.clock_ms = ms(DUE)
    assert account(backfill("AAAUSDT", **HALF_HOUR)) == (0, 0, 30, 0)
    symbol(lying).no_files.clear()
    lying.clock_ms = ms("2026-03-09T09:00:30")

    assert account(backfill("AAAUSDT", **HALF_HOUR)) == (0, 30, 0, 0)
    assert whole(stored, "2026-03-01T07:00", 30)


def test_holes_of_a_store_that_says_nothing_about_files_are_held_against_them(lying, sql, stored):
    assert account(backfill("AAAUSDT", **MORNING, source="rest")) == (0, 60, 30, 0)
    sql("UPDATE absence SET venue_at = NULL, file_at = NULL")

    summary = backfill("AAAUSDT", **MORNING)

    assert (*account(summary), summary.stored_before) == (0, 30, 0, 0, 60)
    assert whole(stored, "2026-03-01T06:30", 90)


@pytest.mark.parametrize("rows", [{}, {"refetch": True}])
def test_a_known_hole_whose_file_cannot_be_had_stays_one_and_is_asked_again(rows, lying, noted, timing):
    timing(backoff_most_s=0.01)
    backfill("AAAUSDT", **MORNING, source="rest")
    fails(lying, FILES)

    summary = backfill("AAAUSDT", **MORNING, **rows)

    assert (summary.exit, summary.holes, summary.missing, dict(summary.files.failed)) == (0, 30, 0, {"unreachable": 1})
    assert ({row[3] for row in noted()}, len(noted())) == ({None}, 30)
    lying.tell = lambda asked: None
    assert account(backfill("AAAUSDT", **MORNING)) == (0, 30, 0, 0)


def test_files_alone_fill_known_holes_too(lying, stored):
    backfill("AAAUSDT", **MORNING, source="rest")
    lying.forget()

    summary = backfill("AAAUSDT", **MORNING, source="archive")

    assert account(summary) == (0, 30, 0, 0)
    assert lying.asked(KLINES) == []
    assert whole(stored, "2026-03-01T06:30", 90)


def test_known_holes_of_a_day_whose_file_is_read_anyway_cost_no_request(lying, sql, stored):
    backfill("AAAUSDT", **MORNING, source="rest")

    summary = backfill("AAAUSDT", **DAY)

    assert (*account(summary), summary.holes_filled) == (0, 1440 - 60, 0, 0, 30)
    assert zips(lying) == [FILE]
    assert whole(stored, "2026-03-01", 1440)


def test_known_holes_of_a_month_that_is_read_anyway_cost_no_request(lying, noted):
    lose(lying, minutes("2026-03-01T07:00", 10))
    backfill("AAAUSDT", **MORNING, source="rest")
    lying.clock_ms = ms("2026-04-10T12:00:30")

    summary = backfill("AAAUSDT", start="2026-03-01", end="2026-04-01")

    assert (*account(summary), summary.holes_filled) == (0, 31 * 1440 - 70, 10, 0, 20)
    assert zips(lying) == ["AAAUSDT-1m-2026-03.zip"]
    assert all(row[3] for row in noted())


def test_a_refetch_holds_known_holes_against_files_too(lying, stored):
    backfill("AAAUSDT", **MORNING, source="rest")

    summary = backfill("AAAUSDT", **MORNING, refetch=True)

    assert (summary.exit, summary.holes, summary.missing, summary.holes_filled) == (0, 0, 0, 30)
    assert whole(stored, "2026-03-01T06:30", 90)


def test_a_refetch_of_what_the_api_has_lost_takes_it_from_the_file(lying, stored, sql):
    symbol(lying).holes.clear()
    backfill("AAAUSDT", **MORNING)
    sql("UPDATE candle SET close = 1 WHERE open_time = ?", min(LACKING))
    symbol(lying).holes = set(LACKING)

    summary = backfill("AAAUSDT", **MORNING, refetch=True)

    assert (summary.exit, summary.holes, summary.missing) == (0, 0, 0)
    assert whole(stored, "2026-03-01T06:30", 90)


@pytest.mark.parametrize("status", [503, 404])
def test_a_refetch_keeps_what_neither_source_gives_any_more(status, lying, stored, noted, timing):
    timing(backoff_most_s=0.01)
    symbol(lying).holes.clear()
    backfill("AAAUSDT", **MORNING)
    symbol(lying).holes = set(LACKING)
    fails(lying, FILES, status)

    summary = backfill("AAAUSDT", **MORNING, refetch=True)

    assert (summary.exit, summary.holes, summary.missing) == (0, 0, 0)
    assert (whole(stored, "2026-03-01T06:30", 90), noted()) == (True, [])


def test_a_recheck_asks_both(lying, noted):
    lose(lying)
    assert account(backfill("AAAUSDT", **MORNING)) == (0, 60, 30, 0)
    lying.forget()
    assert account(backfill("AAAUSDT", **MORNING, recheck=True)) == (0, 0, 30, 0)
    assert (len(lying.asked(KLINES)), zips(lying)) == (2, [FILE])
    symbol(lying).file_holes.clear()

    assert account(backfill("AAAUSDT", **MORNING, recheck=True)) == (0, 30, 0, 0)
    assert noted() == []


def test_a_second_run_of_a_full_store_asks_no_file(lying):
    lose(lying)
    backfill("AAAUSDT", **DAY)
    lying.forget()

    assert account(backfill("AAAUSDT", **DAY)) == (0, 0, 30, 0)
    assert len(lying.hits) == 2


# What is said


def test_the_plan_and_the_summary_name_holes_that_are_held_against_files(lying, here):
    words = ("backfill", "AAAUSDT", "--start", MORNING["start"], "--end", MORNING["end"])
    assert here(*words, "--source", "rest").exit == 0
    lying.forget()

    shown = here(*words, "--dry-run")
    counted = here(*words, "--dry-run", "--json").json
    ended = here(*words)

    assert "30 known holes are held against 1 file" in shown.out
    assert (counted["holes"], counted["holes_held"], counted["hole_files"], counted["holes_later"]) == (30, 30, 1, 0)
    assert "nothing to fetch, all 90 candles accounted for; 30 known holes are held against 1 file" in ended.err
    assert "30 known holes were filled from files" in ended.out
    assert zips(lying) == [FILE]


def test_no_more_files_are_asked_for_known_holes_than_a_run_may(lying, here, noted, sql, monkeypatch):
    monkeypatch.setattr("laklak.engine.holding.FILES_A_RUN", 2)
    days = [f"2026-02-{day:02d}" for day in range(10, 16)]
    symbol(lying).holes = {time_ms for day in days for time_ms in minutes(f"{day}T07:00", 3)}
    words = ("backfill", "AAAUSDT", "--start", "2026-02-10", "--end", "2026-02-16")
    here(*words, "--source", "rest")
    sql("UPDATE absence SET confirmed_at = open_time")

    shown = []
    for _ in range(4):
        lying.forget()
        ended = here(*words)
        shown.append((zips(lying), ended.exit, ended.err.partition("accounted for")[2].partition("\n")[0]))

    assert [sorted(files) for files, _, _ in shown] == [
        [f"AAAUSDT-1m-{day}.zip" for day in pair] for pair in (days[:2], days[2:4], days[4:], [])
    ]
    assert {code for _, code, _ in shown} == {0}
    assert shown[0][2] == "; 6 known holes are held against 2 files, 12 more in later runs"
    assert shown[2][2] == "; 6 known holes are held against 2 files"
    assert noted() == []


# Another file of the day, and holes that were not due


def test_a_month_is_asked_where_the_file_of_the_day_is_not_there(lying, stored):
    lying.clock_ms = ms("2026-04-10T12:00:30")
    symbol(lying).no_files.add("2026-03-01")

    summary = backfill("AAAUSDT", **MORNING)

    assert account(summary) == (0, 90, 0, 0)
    assert zips(lying) == [FILE, "AAAUSDT-1m-2026-03.zip"]
    assert whole(stored, "2026-03-01T06:30", 90)


def test_what_neither_the_day_nor_the_month_has_is_a_hole_that_names_both(lying, noted):
    lying.clock_ms = ms("2026-04-10T12:00:30")
    symbol(lying).no_files |= {"2026-03-01", "2026-03"}

    assert account(backfill("AAAUSDT", **MORNING)) == (0, 60, 30, 0)

    words = f"two complete answers lack it; {FILE} is not there, AAAUSDT-1m-2026-03.zip is not there"
    assert {row[2] for row in noted()} == {words}


def test_a_month_that_cannot_be_had_leaves_open_what_the_day_did_not_prove(lying, noted, timing):
    timing(backoff_most_s=0.01)
    lying.clock_ms = ms("2026-04-10T12:00:30")
    symbol(lying).no_files.add("2026-03-01")
    lying.tell = lambda asked: (503, b"") if "monthly" in asked.path else None

    assert account(backfill("AAAUSDT", **MORNING)) == (1, 60, 0, 30)
    assert noted() == []
    lying.tell = lambda asked: None
    assert account(backfill("AAAUSDT", **MORNING)) == (0, 30, 0, 0)


def test_a_hole_of_a_day_without_a_file_is_held_against_the_month_when_that_is_due(lying, stored):
    symbol(lying).no_files.add("2026-03-01")
    for clock in (DUE, "2026-03-09T09:00:30"):
        lying.clock_ms = ms(clock)
        assert account(backfill("AAAUSDT", **HALF_HOUR))[:1] == (0,)
    lying.clock_ms = ms("2026-04-04T00:00:30")

    assert account(backfill("AAAUSDT", **HALF_HOUR)) == (0, 30, 0, 0)
    lying.forget()
    assert account(backfill("AAAUSDT", **HALF_HOUR)) == (0, 0, 0, 0)
    assert zips(lying) == []


@pytest.mark.parametrize("later", [{"end": "2026-03-02"}, {"start": "2026-03-01T06:00", "end": "2026-03-01T07:30"}])
def test_a_file_that_is_read_for_other_minutes_fills_holes_that_were_final(later, lying, stored, noted):
    lose(lying)
    symbol(lying).holes |= minutes("2026-03-01T06:10", 3)
    for clock in ("2026-03-03T12:00:30", "2026-03-20T12:00:30"):
        lying.clock_ms = ms(clock)
        assert account(backfill("AAAUSDT", **MORNING))[2:] == (30, 0)
    symbol(lying).file_holes.clear()
    lying.forget()
    assert account(backfill("AAAUSDT", **MORNING))[2:] == (30, 0)
    assert zips(lying) == []

    summary = backfill("AAAUSDT", **{**MORNING, **later})

    assert (summary.exit, summary.holes, summary.missing) == (0, 0, 0)
    assert noted() == []


def test_a_file_that_is_read_for_other_minutes_fills_what_was_rejected(lying, stored, noted):
    symbol(lying).holes.clear()
    lose(lying)
    lying.tell_rows = lambda name, query, rows: [
        [row[0], row[1], "0", *row[3:]] if row[0] in LACKING else row for row in rows
    ]
    assert backfill("AAAUSDT", **MORNING).rejected == 30
    symbol(lying).file_holes.clear()

    summary = backfill("AAAUSDT", start=MORNING["start"], end="2026-03-02")

    assert (summary.exit, summary.rejected, summary.holes, summary.missing) == (0, 0, 0, 0)
    assert noted() == []
    assert whole(stored, "2026-03-01T06:30", 1440 - 390)


# Klines that lag by a range


def test_a_range_that_klines_lag_by_is_asked_again_while_its_file_is_not_due(lying, stored, noted):
    lying.clock_ms = ms("2026-03-01T08:00:30")
    assert account(backfill("AAAUSDT", **MORNING)) == (0, 60, 30, 0)
    lying.forget()
    lying.clock_ms = ms("2026-03-01T08:10:30")
    assert account(backfill("AAAUSDT", **MORNING)) == (0, 0, 30, 0)
    assert lying.asked(KLINES) == []
    symbol(lying).holes.clear()
    lying.clock_ms = ms("2026-03-01T10:00:30")

    assert account(backfill("AAAUSDT", **MORNING)) == (0, 30, 0, 0)
    assert noted() == []
    assert whole(stored, "2026-03-01T06:30", 90)


def test_holes_that_stay_are_asked_seldomer_and_no_more_after_a_day(lying):
    asked = []
    for hour in range(0, 25):
        lying.clock_ms = ms("2026-03-01T08:00:30") + hour * 3_600_000
        lying.forget()
        assert account(backfill("AAAUSDT", **MORNING))[2:] == (30, 0)
        if lying.asked(KLINES):
            asked.append(hour)

    assert len(asked) <= 6
    assert asked[:2] == [0, 1]
