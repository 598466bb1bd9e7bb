"""Symbols that the venue lists no more, or never did: who else has them is asked, and what they have is stored."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from influxd2 import TOKEN
from lying_venue import FILES, KLINES, LISTING, MINUTE_MS, LyingVenue, ms, values

CLOCK = "2026-03-10T12:00:30"
JANUARY = ("--start", "2026-01-01", "--end", "2026-02-01")
MONTHS = f"{FILES}/monthly"
DAYS = f"{FILES}/daily"


@pytest.fixture
def lying(monkeypatch: pytest.MonkeyPatch, hasty: None) -> Iterator[LyingVenue]:
    """A venue that lists AAAUSDT, and whose bulk files are asked too."""
    with LyingVenue(clock=CLOCK) as venue:
        venue.list("AAAUSDT", first="2026-01-01", onboard="2025-12-01")
        monkeypatch.setenv("LAKLAK_BINANCE_URL", venue.url)
        monkeypatch.setenv("LAKLAK_BINANCE_ARCHIVE_URL", venue.url)
        monkeypatch.setenv("LAKLAK_BINANCE_BUDGET", "max")
        yield venue


def files_alone(venue, name="OLDUSDT", first="2025-11-10", last="2026-01-31T23:59", **more):
    """A symbol that klines do not know and files have."""
    return venue.list(name, first=first, last=last, listed=False, refused=-1121, **more)


def klines_too(venue, name="OLDUSDT", first="2025-11-10", last="2026-01-20T10:00"):
    return venue.list(name, first=first, last=last, listed=False)


def listed_in(*symbols):
    Path("assets.txt").write_text("".join(f"{symbol} binance\n" for symbol in symbols))


def months_asked(venue, symbol="OLDUSDT"):
    return [hit.path.rsplit("/", 1)[1] for hit in venue.asked(MONTHS, symbol) if hit.path.endswith(".CHECKSUM")]


def zips(venue, folder=FILES):
    return [hit.path.rsplit("/", 1)[1] for hit in venue.asked(folder) if hit.path.endswith(".zip")]


def minutes_of(start, end):
    return list(range(ms(start), ms(end), MINUTE_MS))


@pytest.fixture
def times(stored):
    """The minutes that are stored of a symbol; each has the values that the venue gives it."""

    def read(symbol="OLDUSDT"):
        rows = {time: row for (name, time), row in stored().items() if name == symbol}
        assert all(row == values(time) for time, row in rows.items())
        return sorted(rows)

    return read


# What bulk files alone have


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


# What klines have


@pytest.mark.parametrize("source", ["rest", "auto"])
def test_a_symbol_that_klines_have_is_filled_up_to_its_newest_candle(source, lying, here, times, check_sum):
    klines_too(lying)
    ended = here("backfill", "OLDUSDT", "--start", "2026-01-18", "--source", source, "--json")
    answer = check_sum(ended.json)
    expected = minutes_of("2026-01-18", "2026-01-20T10:01")
    assert (ended.exit, answer["wanted"], answer["written"]) == (0, len(expected), len(expected))
    assert times() == expected
    assert months_asked(lying) == [] or zips(lying)
    assert ended.lines("warning")[0] == (
        "binance:OLDUSDT:1m: not listed any more; candles from 2025-11-10T00:00Z to 2026-01-20T10:01Z"
    )
    assert [one["series"] for one in answer["ended_series"]] == ["binance:OLDUSDT:1m"]
    lying.forget()
    assert here("backfill", "OLDUSDT", "--start", "2026-01-18", "--source", source).exit == 0
    assert (lying.asked(KLINES), lying.asked(FILES)) == ([], [])


def test_a_symbol_that_goes_on_though_it_is_not_listed_is_wanted_up_to_now(lying, here, times):
    lying.list("OLDUSDT", first="2025-11-10", listed=False)
    assert here("backfill", "OLDUSDT", "--start", "2026-03-10T11:00").exit == 0
    assert times() == minutes_of("2026-03-10T11:00", "2026-03-10T12:00")
    lying.clock_ms += 3_600_000
    assert here("backfill", "OLDUSDT", "--start", "2026-03-10T11:00").exit == 0
    assert times() == minutes_of("2026-03-10T11:00", "2026-03-10T13:00")


def test_a_symbol_that_has_stopped_hours_ago_has_ended_and_is_asked_again_in_the_next_run(lying, here, times):
    old = lying.list("OLDUSDT", first="2025-11-10", last="2026-03-10T09:00", listed=False)
    words = ("backfill", "OLDUSDT", "--start", "2026-03-10T08:00")
    assert here(*words).exit == 0
    assert times() == minutes_of("2026-03-10T08:00", "2026-03-10T09:01")
    old.last_ms = None
    assert here(*words).exit == 0
    assert times() == minutes_of("2026-03-10T08:00", "2026-03-10T12:00")


def test_holes_of_files_alone_are_not_held_against_them_again_and_again(lying, here, sql, check_sum):
    """Once more when the file cannot come late any more, as all holes are."""
    files_alone(lying, last="2026-03-08T10:00", file_holes=set(minutes_of("2026-03-07T03:00", "2026-03-07T03:30")))
    words = ("backfill", "OLDUSDT", "--start", "2026-03-05", "--end", "2026-03-08T05:00", "--json")
    assert check_sum(here(*words).json)["holes"] == 30
    lying.forget()
    assert (check_sum(here(*words).json)["exit"], zips(lying)) == (0, [])
    lying.clock_ms += 6 * 86_400_000
    assert (check_sum(here(*words).json)["holes"], zips(lying)) == (30, ["OLDUSDT-1m-2026-03-07.zip"])
    lying.forget()
    assert (check_sum(here(*words).json)["holes"], zips(lying)) == (30, [])


def test_klines_that_answer_with_nothing_leave_it_to_the_files(lying, here, times):
    files_alone(lying).refused = None
    lying.tell_rows = lambda symbol, query, rows: [] if symbol == "OLDUSDT" else rows
    assert here("backfill", "OLDUSDT", *JANUARY).exit == 0
    assert len(times()) == 44_640


def test_a_symbol_of_a_wrong_status_is_in_the_files(lying, here, times):
    files_alone(lying).refused = -1122
    assert here("backfill", "OLDUSDT", *JANUARY).exit == 0
    assert len(times()) == 44_640


@pytest.mark.parametrize("code", [-1121, -1122])
def test_a_symbol_that_is_listed_as_not_trading_and_refused_is_in_the_files(code, lying, here, times, check_sum):
    lying.list("OLDUSDT", first="2025-11-10", last="2026-01-20T10:00", status="BREAK", refused=code)
    ended = here("backfill", "OLDUSDT", *JANUARY, "--json")
    assert (ended.exit, check_sum(ended.json)["failed_series"]) == (0, [])
    assert "binance:OLDUSDT:1m: refused by klines (BREAK); candles in bulk files alone from " in ended.err
    assert times() == minutes_of("2026-01-01", "2026-01-20T10:01")
    lying.forget()
    assert here("backfill", "OLDUSDT", *JANUARY).exit == 0
    assert (len(lying.asked(KLINES)), lying.asked(FILES)) == (1, [])


def test_a_symbol_that_trades_and_is_refused_is_no_symbol_of_files_alone(lying, here, check_sum):
    lying.list("OLDUSDT", first="2025-11-10", refused=-1122)
    ended = here("backfill", "OLDUSDT", "--start", "2026-03-09T12:00", "--json")
    assert (ended.exit, ended.json["failed_series"][0]["reason"]) == (1, "symbol_status")
    assert check_sum(ended.json)["missing"] > 0


# What nobody has


def test_a_typed_symbol_that_nobody_knows_is_refused_after_one_question_and_one_search(lying, here):
    ended = here("backfill", "AAAUSTD", *JANUARY)
    assert ended.exit == 2
    assert ended.lines("error")[0] == (
        "binance does not know the symbol AAAUSTD: it is not listed, klines do not know it, "
        "and there is no monthly bulk file of it in this range"
    )
    assert "did you mean AAAUSDT" in ended.lines("hint")[0]
    assert (len(lying.asked(KLINES)), months_asked(lying, "AAAUSTD"), len(lying.asked(DAYS))) == (
        1,
        ["AAAUSTD-1m-2026-01.zip.CHECKSUM"],
        0,
    )


def test_one_of_a_list_that_nobody_knows_fails_alone_and_is_asked_in_two_runs(lying, here, check_sum):
    listed_in("AAAUSDT", "NOPEUSDT")
    words = ("backfill", "--start", "2026-03-10T11:00", "--json")
    ended = here(*words)
    assert (ended.exit, check_sum(ended.json)["missing"]) == (1, 0)
    (failed,) = ended.json["failed_series"]
    assert (failed["series"], failed["reason"]) == ("binance:NOPEUSDT:1m", "unknown_symbol")
    here(*words)
    assert (len(lying.asked(KLINES, "NOPEUSDT")), len(lying.asked(FILES, "NOPEUSDT"))) == (2, 1)
    lying.forget()
    assert here(*words).exit == 1
    assert (lying.asked(KLINES, "NOPEUSDT"), lying.asked(FILES, "NOPEUSDT")) == ([], [])


@pytest.mark.parametrize(("days", "flags", "asked"), [(6, (), 0), (8, (), 1), (1, ("--recheck",), 1), (-3, (), 1)])
def test_it_is_looked_for_again_after_a_week_or_when_told(days, flags, asked, lying, here):
    """By the venue's clock; what was noted in the future does not count."""
    listed_in("AAAUSDT", "NOPEUSDT")
    words = ("backfill", "--start", "2026-03-07T11:00", "--end", "2026-03-07T12:00")
    assert here(*words).exit == 1
    assert here(*words).exit == 1
    lying.forget()
    lying.clock_ms += days * 86_400_000
    here(*words, *flags)
    assert len(lying.asked(KLINES, "NOPEUSDT")) == asked


def test_a_symbol_of_the_packaged_list_that_nobody_knows_is_a_warning(lying, here, monkeypatch, tmp_path, check_sum):
    packaged = tmp_path / "packaged.txt"
    packaged.write_text("AAAUSDT binance\nNOPEUSDT binance\n")
    monkeypatch.setattr("laklak.settings.assets._packaged_assets", lambda: packaged)
    ended = here("backfill", "--start", "2026-03-10T11:00", "--json")
    assert (ended.exit, check_sum(ended.json)["failed_series"], ended.json["written"]) == (0, [], 60)
    assert "NOPEUSDT" in ended.lines("warning")[0]


def test_without_files_klines_alone_decide_and_the_words_say_so(lying, here):
    files_alone(lying)
    ended = here("backfill", "OLDUSDT", *JANUARY, "--source", "rest")
    assert ended.exit == 2
    assert "klines do not know it; no bulk files are asked" in ended.lines("error")[0]
    assert lying.asked(FILES) == []


def test_files_that_cannot_be_asked_are_said_and_not_remembered(lying, here):
    files_alone(lying)
    listed_in("AAAUSDT", "OLDUSDT")
    lying.tell = lambda asked: (403, b"no") if "OLDUSDT" in asked.path else None
    ended = here("backfill", *JANUARY, "--json")
    assert ended.exit == 1
    assert "the bulk files cannot be asked: " in ended.json["failed_series"][0]["detail"]
    lying.tell = lambda asked: None
    assert here("backfill", *JANUARY, "--json").json["written"] == 44_640


def test_klines_that_cannot_be_asked_are_no_proof(lying, here, check_sum):
    listed_in("AAAUSDT", "OLDUSDT")
    lying.tell = lambda asked: (500, b"{}") if asked.query.get("symbol") == "OLDUSDT" else None
    ended = here("backfill", "--start", "2026-03-10T11:00", "--json")
    assert (ended.exit, check_sum(ended.json)["written"]) == (1, 60)
    (failed,) = ended.json["failed_series"]
    assert (failed["series"], failed["reason"]) == ("binance:OLDUSDT:1m", "fetch_failed")


def test_where_the_api_cannot_be_asked_what_was_not_listed_last_time_is_searched_for(lying, here, times, check_sum):
    files_alone(lying, last="2026-01-20T10:00")
    assert here("backfill", "AAAUSDT", "--start", "2026-03-10T11:00").exit == 0
    lying.tell = lambda asked: (451, b"") if asked.path.startswith("/fapi") else None
    ended = here("backfill", "OLDUSDT", *JANUARY, "--json")
    assert (ended.exit, check_sum(ended.json)["missing"]) == (0, 0)
    assert times() == minutes_of("2026-01-01", "2026-01-20T10:01")


def test_a_symbol_that_is_listed_again_is_one_like_any_other(lying, here, sql):
    old = files_alone(lying)
    assert here("backfill", "OLDUSDT", *JANUARY).exit == 0
    old.listed, old.refused = True, None
    assert here("backfill", "OLDUSDT", *JANUARY).exit == 0
    assert sql("SELECT value FROM laklak_notes WHERE kind = 'unlisted' AND value <> ''") == []


# The listing itself


def asks_of_listing(venue):
    return len(venue.asked(LISTING))


def test_an_empty_listing_is_asked_once_more_and_then_the_venue_cannot_be_used(lying, here):
    lying.tell_listing = lambda entries: {"symbols": []}
    listed_in("AAAUSDT")
    ended = here("backfill", *JANUARY)
    assert (ended.exit, asks_of_listing(lying)) == (2, 2)
    assert "cannot be used now: its listing, asked for twice, names no symbol" in ended.lines("error")[0]
    assert "take them off" not in ended.err


def test_a_listing_that_is_empty_once_does_no_harm(lying, here):
    lying.tell_listing = lambda entries: {"symbols": entries if asks_of_listing(lying) > 1 else []}
    assert here("backfill", "AAAUSDT", "--start", "2026-03-10T11:00").exit == 0
    assert asks_of_listing(lying) == 2


def test_with_an_empty_listing_the_files_alone_are_asked_where_that_was_wanted(lying, here, times):
    lying.tell_listing = lambda entries: {"symbols": []}
    files_alone(lying)
    assert here("backfill", "OLDUSDT", *JANUARY, "--source", "archive").exit == 0
    assert len(times()) == 44_640


def test_a_listing_that_lacks_symbols_it_had_is_asked_once_more_for_all_of_them(lying, here):
    for name in ("BBBUSDT", "CCCUSDT"):
        lying.list(name, first="2026-01-01")
    listed_in("AAAUSDT", "BBBUSDT", "CCCUSDT")
    words = ("backfill", "--start", "2026-03-10T11:00")
    assert (here(*words).exit, asks_of_listing(lying)) == (0, 1)
    lying.forget()
    lying.tell_listing = lambda entries: {"symbols": entries if asks_of_listing(lying) > 1 else entries[:1]}
    ended = here(*words)
    assert (ended.exit, asks_of_listing(lying), lying.asked(KLINES)) == (0, 2, [])
    assert "not listed" not in ended.err


def test_a_symbol_that_has_gone_for_good_is_asked_for_in_the_listing_once(lying, here):
    gone = lying.list("GONEUSDT", first="2026-01-01")
    words = ("backfill", "AAAUSDT", "GONEUSDT", "--start", "2026-03-10T11:00")
    assert here(*words).exit == 0
    gone.listed = False
    lying.forget()
    assert (here(*words).exit, asks_of_listing(lying)) == (0, 2)
    lying.forget()
    assert (here(*words).exit, asks_of_listing(lying)) == (0, 1)


def test_a_symbol_nobody_asked_for_is_still_missed_when_it_is(lying, here):
    lying.list("BBBUSDT", first="2026-01-01")
    words = ("--start", "2026-03-10T11:00")
    assert here("backfill", "BBBUSDT", *words).exit == 0
    lying.tell_listing = lambda entries: {"symbols": entries[:1]}
    assert here("backfill", "AAAUSDT", *words).exit == 0
    lying.forget()
    assert (here("backfill", "BBBUSDT", *words).exit, asks_of_listing(lying)) == (0, 2)


def test_the_listing_is_written_down_only_when_it_changes(lying, here, sql):
    words = ("backfill", "AAAUSDT", "--start", "2026-03-10T11:00")
    notes = "SELECT about, value, noted_at FROM laklak_notes WHERE kind = 'listing'"
    assert here(*words).exit == 0
    before = sql(notes)
    assert [(about, json.loads(value)) for about, value, _ in before] == [("binance", ["AAAUSDT"])]
    assert here(*words).exit == 0
    assert sql(notes) == before


@pytest.mark.parametrize("date", ["soon", 1.5, True, [], {}, 0, -1, None, 1_900_000_000_000, 10**18])
@pytest.mark.parametrize("key", ["onboardDate", "deliveryDate"])
def test_a_date_that_is_none_costs_that_date(key, date, lying, here, times):
    lying.symbols["AAAUSDT"].entry[key] = date
    ended = here("backfill", "AAAUSDT", "--start", "2026-03-10T11:00")
    assert ended.exit == 0
    assert times("AAAUSDT") == minutes_of("2026-03-10T11:00", "2026-03-10T12:00")


def test_an_odd_date_is_said_where_its_symbol_was_asked_for(lying, here):
    lying.symbols["AAAUSDT"].entry["onboardDate"] = "soon"
    lying.list("BBBUSDT", first="2026-01-01", onboard=-1)
    ended = here("backfill", "AAAUSDT", "--start", "2026-03-10T11:00")
    assert ended.lines("warning") == [
        'odd in the listing of binance, and not counted: AAAUSDT has the onboardDate "soon"'
    ]


@pytest.mark.parametrize(
    "entry", [5, None, [], {}, {"symbol": 5}, {"symbol": ""}, {"symbol": "A B"}, {"symbol": "A/../B"}]
)
def test_an_entry_that_names_no_symbol_costs_that_entry(entry, lying, here):
    lying.tell_listing = lambda entries: {"symbols": [entry, *entries]}
    ended = here("backfill", "AAAUSDT", "--start", "2026-03-10T11:00")
    assert (ended.exit, ended.lines("warning")) == (0, [])
    assert "name no symbol: 1; not listed: NOPEUSDT" in here("backfill", "NOPEUSDT", *JANUARY).err


def test_of_a_doubled_entry_the_first_one_counts_and_it_is_said(lying, here):
    lying.tell_listing = lambda entries: {"symbols": [*entries, {**entries[0], "status": "BREAK"}]}
    ended = here("backfill", "AAAUSDT", "--start", "2026-03-10T11:00")
    assert ended.exit == 0
    assert "AAAUSDT is listed twice" in ended.lines("warning")[0]


# The look, and other stores


def test_a_look_says_what_a_run_does_about_what_is_not_listed(lying, here):
    files_alone(lying)
    klines_too(lying, "BBBUSDT")
    listed_in("AAAUSDT", "OLDUSDT", "BBBUSDT", "NOPEUSDT")

    def finding():
        (one,) = [one for one in here("check", "--json").json["findings"] if "are not listed" in one["text"]]
        assert one["verdict"] == "warning"
        return one

    before = finding()
    assert before["text"] == "3 of 4 symbols of the asset list are not listed: OLDUSDT, BBBUSDT, NOPEUSDT"
    assert "looks for them in klines and bulk files" in before["hint"]
    here("backfill", "--start", "2026-01-20", "--end", "2026-01-21")
    hint = finding()["hint"]
    assert "OLDUSDT (bulk files from 2026-01-01T00:00Z), BBBUSDT (candles from 2025-11-10T00:00Z)" in hint
    assert "did not have NOPEUSDT (looked for at 2026-03-10T12:00" in hint
    assert "exit status 1 until it is taken off the list" in hint


def test_a_look_at_an_empty_listing_is_a_problem(lying, here):
    lying.tell_listing = lambda entries: {"symbols": []}
    listed_in("AAAUSDT")
    ended = here("check", "--json")
    assert ended.exit == 2
    (one,) = [one for one in ended.json["findings"] if one["verdict"] == "problem"]
    assert "cannot be used now" in one["text"]


def test_a_look_names_what_is_odd_with_a_symbol_of_the_list(lying, here):
    lying.symbols["AAAUSDT"].entry["onboardDate"] = "soon"
    listed_in("AAAUSDT")
    texts = [one["text"] for one in here("check", "--json").json["findings"] if one["verdict"] == "warning"]
    assert any('AAAUSDT has the onboardDate "soon"' in text for text in texts)


@pytest.mark.parametrize("version", [1, 2])
def test_influxdb_remembers_it_too(version, lying, here, request, check_sum, monkeypatch):
    """With a listing of a thousand names, which is one text in one field."""
    store = request.getfixturevalue("influxd" if version == 1 else "influxd2").url("unlisted")
    monkeypatch.setenv("LAKLAK_INFLUXDB_TOKEN", TOKEN)
    for number in range(1000):
        lying.list(f"币安{number:04}USDT", first="2026-01-01")
    files_alone(lying, first="2026-01-10T08:00", last="2026-01-20T10:00")
    words = ("backfill", "OLDUSDT", *JANUARY, "--store", store, "--json")
    count = len(minutes_of("2026-01-10T08:00", "2026-01-20T10:01"))
    assert check_sum(here(*words).json)["written"] == count
    here(*words)
    lying.forget()
    answer = check_sum(here(*words).json)
    assert (answer["exit"], answer["stored_before"], answer["missing"]) == (0, count, 0)
    assert (asks_of_listing(lying), lying.asked(KLINES), lying.asked(FILES)) == (1, [], [])
    lying.tell_listing = lambda entries: {"symbols": entries[:1]}
    lying.forget()
    here("backfill", "币安0999USDT", "--start", "2026-03-10T11:00", "--store", store)
    assert asks_of_listing(lying) == 2
