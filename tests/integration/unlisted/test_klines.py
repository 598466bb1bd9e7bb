"""Symbols that are not listed and that klines have, or refuse."""

from __future__ import annotations

import pytest
from lying_venue import FILES, KLINES
from unlisted_symbols import JANUARY, files_alone, klines_too, minutes_of, months_asked, zips


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
