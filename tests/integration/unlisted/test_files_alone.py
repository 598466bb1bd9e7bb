"""Symbols that bulk files alone have: what they have is stored, and what they lack is no hole without more evidence."""

from __future__ import annotations

import pytest
from lying_venue import FILES, KLINES, ms
from unlisted_symbols import DAYS, JANUARY, MONTHS, files_alone, klines_too, listed_in, minutes_of, months_asked, zips


@pytest.mark.parametrize("source", ["archive", "auto"])
@pytest.mark.parametrize("typed", [True, False])
def test_a_symbol_that_only_files_have_is_filled_from_them(source, typed, lying, here, times, check_sum):
    files_alone(lying)
    listed_in("OLDUSDT")
    words = ("OLDUSDT",) if typed else ()
    ended = here("backfill", *words, "--source", source, *JANUARY, "--json")
    answer = check_sum(ended.json)
    assert (ended.exit, answer["wanted"], answer["written"], answer["missing"]) == (0, 44_640, 44_640, 0)
    assert times() == minutes_of("2026-01-01", "2026-02-01")
    assert zips(lying) == ["OLDUSDT-1m-2026-01.zip"]
    (line,) = ended.lines("warning")
    assert line == (
        "binance:OLDUSDT:1m: not listed any more; candles in bulk files alone "
        "from 2026-01-01T00:00Z to 2026-02-01T00:00Z"
    )


def test_a_second_run_asks_klines_once_more_and_a_third_one_nothing(lying, here):
    files_alone(lying)
    assert here("backfill", "OLDUSDT", *JANUARY).exit == 0
    lying.forget()
    assert here("backfill", "OLDUSDT", *JANUARY).exit == 0
    assert (len(lying.asked(KLINES)), lying.asked(FILES)) == (1, [])
    lying.forget()
    ended = here("backfill", "OLDUSDT", *JANUARY, "--json")
    assert (ended.exit, ended.json["wanted"], ended.json["stored_before"]) == (0, 44_640, 44_640)
    assert "not listed any more" in ended.err
    assert (lying.asked(KLINES), lying.asked(FILES)) == ([], [])


def test_a_symbol_that_files_have_costs_one_question_and_one_search_of_months(lying, here):
    files_alone(lying, last="2026-01-20T10:00")
    assert here("backfill", "OLDUSDT", "--start", "2025-10-01", "-n").exit == 0
    assert len(lying.asked(KLINES)) == 1
    # One that is there is asked for again: then what lacks does lack.
    assert sorted(set(months_asked(lying))) == [
        f"OLDUSDT-1m-{month}.zip.CHECKSUM" for month in ("2025-10", "2025-11", "2025-12", "2026-01", "2026-02")
    ]
    assert len(months_asked(lying)) == 6
    assert lying.asked(DAYS) == []


def test_minutes_before_the_first_row_and_after_the_last_one_are_not_wanted(lying, here, times, check_sum):
    files_alone(lying, first="2026-01-10T08:00", last="2026-01-20T10:00")
    expected = minutes_of("2026-01-10T08:00", "2026-01-20T10:01")
    answer = check_sum(here("backfill", "OLDUSDT", "--start", "2025-10-01", "--json").json)
    assert (answer["exit"], answer["wanted"], answer["written"], answer["holes"]) == (
        0,
        len(expected),
        len(expected),
        0,
    )
    assert times() == expected
    assert zips(lying, DAYS) == []
    here("backfill", "OLDUSDT", "--start", "2025-10-01")
    lying.forget()
    again = check_sum(here("backfill", "OLDUSDT", "--start", "2025-10-01", "--json").json)
    assert (again["exit"], again["wanted"], again["stored_before"]) == (0, len(expected), len(expected))
    assert (lying.asked(KLINES), lying.asked(FILES)) == ([], [])


@pytest.mark.parametrize("source", ["archive", "auto"])
def test_what_a_file_lacks_in_between_is_a_hole_with_that_evidence(source, lying, here, sql, check_sum):
    hole = minutes_of("2026-01-15T03:00", "2026-01-15T03:30")
    files_alone(lying, file_holes=set(hole))
    answer = check_sum(here("backfill", "OLDUSDT", *JANUARY, "--source", source, "--json").json)
    assert (answer["exit"], answer["written"], answer["holes"], answer["missing"]) == (0, 44_610, 30, 0)
    rows = sql("SELECT open_time, reason FROM laklak_holes WHERE symbol = 'OLDUSDT' ORDER BY open_time")
    assert [row[0] for row in rows] == hole
    assert {row[1] for row in rows} == {"the bulk files lack it, and the API does not know the symbol"}
    lying.forget()
    assert check_sum(here("backfill", "OLDUSDT", *JANUARY, "--source", source, "--json").json)["exit"] == 0
    assert lying.asked(FILES) == []


def refuses(venue, times):
    """Klines do not know OLDUSDT for so many questions; then they do, and have more of it than the files."""
    refused = []

    def tell(asked):
        if asked.query.get("symbol") != "OLDUSDT" or len(refused) == times:
            return None
        refused.append(asked)
        return 400, b'{"code":-1121,"msg":"Invalid symbol."}'

    venue.tell = tell


def test_a_symbol_that_klines_refuse_once_is_asked_for_in_the_next_run(lying, here, times):
    klines_too(lying, last="2026-03-09T10:00").no_files |= {f"2026-03-0{day}" for day in range(1, 10)}
    refuses(lying, 1)
    words = ("backfill", "OLDUSDT", "--start", "2026-02-20")
    here(*words)
    assert max(times()) < ms("2026-03-01")
    assert here(*words).exit == 0
    assert times() == minutes_of("2026-02-20", "2026-03-09T10:01")


def test_what_files_lack_of_a_symbol_that_klines_refuse_once_is_no_hole(lying, here, times, sql, check_sum):
    klines_too(lying, last="2026-01-31T23:59").file_holes = set(minutes_of("2026-01-15T03:00", "2026-01-15T03:30"))
    refuses(lying, 1)
    answer = check_sum(here("backfill", "OLDUSDT", *JANUARY, "--json").json)
    assert (answer["exit"], answer["holes"], answer["missing"]) == (1, 0, 30)
    assert sql("SELECT count(*) FROM laklak_holes") == [(0,)]
    assert here("backfill", "OLDUSDT", *JANUARY).exit == 0
    assert times() == minutes_of("2026-01-01", "2026-02-01")


def test_one_refusal_that_is_remembered_proves_no_hole_while_klines_cannot_be_asked(lying, here, check_sum):
    files_alone(lying, file_holes=set(minutes_of("2026-01-15T03:00", "2026-01-15T03:30")))
    words = ("backfill", "OLDUSDT", "--start", "2026-01-01")
    assert here(*words, "--end", "2026-01-02").exit == 0
    lying.tell = lambda asked: (451, b"") if asked.path.startswith("/fapi") else None
    answer = check_sum(here(*words, "--end", "2026-02-01", "--json").json)
    assert (answer["exit"], answer["holes"], answer["missing"]) == (1, 0, 30)


def test_a_symbol_whose_first_and_newest_candles_are_shown_wrong_once_is_whole_all_the_same(lying, here, times):
    klines_too(lying, first="2026-01-10", last="2026-01-20T10:00")
    told = set()

    def tell(symbol, query, rows):
        shape = "first" if "startTime" in query else "newest"
        if symbol != "OLDUSDT" or query["limit"] != "1" or shape in told:
            return rows
        told.add(shape)
        open_ms = ms("2026-01-15" if shape == "first" else "2026-01-18")
        return [[open_ms, *rows[0][1:6], open_ms + 59_999, *rows[0][7:]]]

    lying.tell_rows = tell
    assert here("backfill", "OLDUSDT", "--start", "2026-01-01", "--source", "rest").exit == 0
    assert times() == minutes_of("2026-01-10", "2026-01-20T10:01")
    assert told == {"first", "newest"}


def test_without_the_word_of_the_api_what_a_file_lacks_stays_missing(lying, here, check_sum):
    files_alone(lying, file_holes=set(minutes_of("2026-01-15T03:00", "2026-01-15T03:30")))
    assert here("backfill", "AAAUSDT", "--start", "2026-03-10T11:00").exit == 0
    lying.tell = lambda asked: (451, b"") if asked.path.startswith("/fapi") else None
    answer = check_sum(here("backfill", "OLDUSDT", *JANUARY, "--json").json)
    assert (answer["exit"], answer["written"], answer["holes"], answer["missing"]) == (1, 44_610, 0, 30)


def test_a_month_that_could_not_be_asked_for_is_missing_and_not_unwanted(lying, here, check_sum):
    files_alone(lying)
    lying.tell = lambda asked: (403, b"no") if "OLDUSDT-1m-2025-12" in asked.path else None
    words = ("backfill", "OLDUSDT", "--start", "2025-11-28", "--end", "2025-12-03", "--json")
    answer = check_sum(here(*words).json)
    assert (answer["exit"], answer["written"], answer["missing"]) == (1, 3 * 1440, 2 * 1440)
    lying.tell = lambda asked: None
    assert check_sum(here(*words).json)["written"] == 2 * 1440


def test_a_broken_row_of_a_file_that_nobody_else_has_is_rejected(lying, here, sql, check_sum):
    bad = ms("2026-01-15T03:00")
    files_alone(lying)
    lying.file_rows = lambda symbol, name, rows: [[row[0], "-1", *row[2:]] if row[0] == bad else row for row in rows]
    first = check_sum(here("backfill", "OLDUSDT", *JANUARY, "--json").json)
    assert (first["exit"], first["rejected"], first["missing"]) == (1, 1, 0)
    again = check_sum(here("backfill", "OLDUSDT", *JANUARY, "--json").json)
    assert (again["exit"], again["rejected"]) == (0, 1)


def test_a_month_that_lacks_between_others_is_looked_for_in_days(lying, here, times, check_sum):
    files_alone(lying, last="2026-02-20T10:00", no_files={"2026-01", "2026-01-07"})
    words = ("backfill", "OLDUSDT", "--start", "2025-12-30", "--end", "2026-02-03", "--json")
    answer = check_sum(here(*words).json)
    assert (answer["exit"], answer["holes"], answer["missing"]) == (0, 1440, 0)
    assert times() == [
        *minutes_of("2025-12-30", "2026-01-07"),
        *minutes_of("2026-01-08", "2026-02-03"),
    ]


def test_a_month_that_cannot_be_trusted_is_replaced_by_its_days(lying, here, times, check_sum):
    files_alone(lying)
    lying.file_rows = lambda symbol, name, rows: [[1]] if name.endswith("-2026-01") else rows
    answer = check_sum(here("backfill", "OLDUSDT", *JANUARY, "--json").json)
    assert (answer["exit"], answer["written"]) == (0, 44_640)
    assert times() == minutes_of("2026-01-01", "2026-02-01")


def test_days_that_no_month_has_yet_are_fetched_where_the_month_before_has_files(lying, here, times, check_sum):
    files_alone(lying, last="2026-03-08T10:00")
    answer = check_sum(here("backfill", "OLDUSDT", "--start", "2026-03-05", "--json").json)
    expected = minutes_of("2026-03-05", "2026-03-08T10:01")
    assert (answer["exit"], answer["wanted"], answer["written"]) == (0, len(expected), len(expected))
    assert times() == expected
    assert sorted(zips(lying, DAYS)) == [f"OLDUSDT-1m-2026-03-0{day}.zip" for day in (5, 6, 7, 8, 9)]


def test_the_day_after_the_last_one_is_looked_for_while_its_file_may_be_late(lying, here, times, check_sum):
    old = files_alone(lying, last="2026-03-08T10:00", no_files={"2026-03-08"})
    words = ("backfill", "OLDUSDT", "--start", "2026-03-05", "--json")
    assert check_sum(here(*words).json)["written"] == 3 * 1440
    old.no_files.clear()
    assert check_sum(here(*words).json)["written"] == 601
    assert times() == minutes_of("2026-03-05", "2026-03-08T10:01")


def test_an_interrupted_month_ends_whole(lying, here, times, sql, check_sum):
    files_alone(lying, first="2026-01-10T08:00", last="2026-01-20T10:00")
    assert here("backfill", "OLDUSDT", *JANUARY).exit == 0
    sql("DELETE FROM candles WHERE symbol = 'OLDUSDT' AND open_time >= ?", ms("2026-01-18T05:00"))
    answer = check_sum(here("backfill", "OLDUSDT", *JANUARY, "--json").json)
    assert (answer["exit"], answer["missing"], answer["holes"]) == (0, 0, 0)
    assert times() == minutes_of("2026-01-10T08:00", "2026-01-20T10:01")


def test_a_range_that_lies_wider_than_the_one_before_is_searched_too(lying, here, times):
    files_alone(lying, first="2025-11-10T08:00", last="2026-01-20T10:00")
    assert here("backfill", "OLDUSDT", "--start", "2026-01-05", "--end", "2026-01-10").exit == 0
    lying.forget()
    assert here("backfill", "OLDUSDT", "--start", "2025-10-01").exit == 0
    assert times() == minutes_of("2025-11-10T08:00", "2026-01-20T10:01")
    assert len(lying.asked(KLINES)) == 1
    assert "OLDUSDT-1m-2026-01.zip.CHECKSUM" not in [
        hit.path.rsplit("/", 1)[1] for hit in lying.asked(MONTHS)[: len(months_asked(lying)) - 3]
    ]


@pytest.mark.parametrize("interval", ["1h", "1d"])
def test_longer_intervals_likewise(interval, lying, here, stored):
    files_alone(lying, first="2026-01-10T08:00", last="2026-01-20T10:00")
    ended = here("backfill", "OLDUSDT", "--start", "2025-12-01", "--interval", interval, "--json")
    count = {"1h": 10 * 24 + 3, "1d": 11}[interval]
    assert (ended.exit, ended.json["wanted"], ended.json["written"]) == (0, count, count)
    assert len(stored(interval=interval)) == count


def test_refetched_candles_that_files_lack_are_kept(lying, here, sql, times, check_sum):
    """Fetched while the API had them: no file takes them away."""
    old = lying.list("OLDUSDT", first="2026-01-10", last="2026-01-20T10:00", file_first_ms=ms("2026-01-11"))
    words = ("backfill", "OLDUSDT", "--start", "2026-01-10", "--end", "2026-01-20T10:01")
    assert here(*words, "--source", "rest").exit == 0
    old.listed, old.refused = False, -1121
    answer = check_sum(here(*words, "--refetch", "--json").json)
    assert (answer["exit"], answer["missing"], answer["holes"]) == (0, 0, 0)
    # What the files have is the same, and the day that they lack is kept.
    assert (answer["stored_before"], answer["refetched"]["same"]) == (10 * 1440 + 601, 9 * 1440 + 601)
    assert times() == minutes_of("2026-01-10", "2026-01-20T10:01")
