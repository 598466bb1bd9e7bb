"""The edge that moves: what lags behind the clock, and venues that lag as a whole."""

from __future__ import annotations

import pytest
from lives import backfill, holes, outcome, stored_of
from lying_venue import KLINES, minutes, ms


def test_what_lags_behind_the_clock_is_missing_and_complete_in_the_next_run(liar, sql):
    venue = liar("2026-03-01T12:00:30")
    venue.list("AAAUSDT", first="2026-01-01")
    venue.klines_until_ms = ms("2026-03-01T09:00")

    summary = backfill("AAAUSDT", start="2026-03-01", end="2026-03-01T12:00")

    assert outcome(summary) == (1, 540, 0, 180)
    assert [(one.reason, one.detail) for one in summary.failed_series] == [
        ("not_yet", "180 candles: no candles after 2026-03-01T08:59Z yet")
    ]
    venue.klines_until_ms, venue.clock_ms = None, ms("2026-03-01T13:00:30")
    assert outcome(backfill("AAAUSDT", start="2026-03-01", end="2026-03-01T13:00")) == (0, 240, 0, 0)
    assert len(stored_of(sql)) == 780


def test_a_venue_that_lags_for_days_has_not_ended_all_of_its_series(liar):
    venue = liar("2026-03-04T12:00:30")
    for name in ("AAAUSDT", "BBBUSDT", "CCCUSDT"):
        venue.list(name, first="2026-01-01")
    venue.klines_until_ms = ms("2026-03-02T09:00")

    summary = backfill("AAAUSDT", "BBBUSDT", start="2026-03-02")

    assert outcome(summary) == (1, 2 * 540, 0, 2 * (60 * 60 - 540))
    assert {one.reason for one in summary.failed_series} == {"not_yet"}
    assert summary.ended_series == ()


def test_the_same_tail_of_most_series_is_told_once(liar, here):
    venue = liar("2026-03-01T12:00:30")
    names = [f"{letter * 3}USDT" for letter in "ABCDE"]
    for name in names:
        venue.list(name, first="2026-01-01")
    venue.klines_until_ms = ms("2026-03-01T09:00")

    ended = here("backfill", *names, "--start", "2026-03-01", "--end", "2026-03-01T12:00")

    assert ended.exit == 1
    assert ended.out.count("after 2026-03-01T08:59Z") + ended.err.count("after 2026-03-01T08:59Z") == 1
    assert "binance gives no candles after 2026-03-01T08:59Z yet" in ended.out + ended.err


LAGGING = [f"{letter * 3}USDT" for letter in "ABCDEFGHIJKL"]


def lags(liar, until):
    venue = liar("2026-03-01T12:00:30")
    for name in LAGGING:
        venue.list(name, first="2026-01-01")
    venue.klines_until_ms = ms(until)
    return venue


def asked_for_newest(venue):
    return [hit for hit in venue.asked() if "startTime" not in hit.query and "endTime" not in hit.query]


def test_a_venue_that_lags_as_a_whole_is_asked_how_far_it_is_at_a_few_series_a_run(liar, sql):
    venue = lags(liar, "2026-03-01T09:00")

    for held, written in ((0, 60), (60, 0)):
        summary = backfill(*LAGGING, start="2026-03-01T08:00", end="2026-03-01T12:00")

        assert outcome(summary) == (1, 12 * written, 0, 12 * 180)
        assert summary.stored_before == 12 * held
        assert {one.reason for one in summary.failed_series} == {"not_yet"}
        assert len(asked_for_newest(venue)) == 3
        assert len(venue.asked()) == 12 + 3
        venue.forget()
    venue.klines_until_ms = None
    assert outcome(backfill(*LAGGING, start="2026-03-01T08:00", end="2026-03-01T12:00")) == (0, 12 * 180, 0, 0)
    assert holes(sql) == 0


def test_a_series_that_is_further_behind_than_the_venue_is_asked_for_its_own_newest_candle(liar):
    venue = lags(liar, "2026-03-01T09:00")
    venue.symbols["LLLUSDT"].last_ms = ms("2026-03-01T06:00")

    summary = backfill(*LAGGING, start="2026-03-01T05:00", end="2026-03-01T12:00")

    assert summary.exit == 1
    assert "LLLUSDT" in {hit.query["symbol"] for hit in asked_for_newest(venue)}
    assert len(asked_for_newest(venue)) <= 4


def test_series_that_stand_still_beside_one_that_goes_on_are_each_asked_for(liar):
    venue = lags(liar, "2026-03-01T12:00")
    for name in LAGGING[:-1]:
        venue.symbols[name].last_ms = ms("2026-03-01T08:59")

    summary = backfill(*LAGGING, start="2026-03-01T08:00", end="2026-03-01T12:00")

    assert (summary.exit, summary.written) == (1, 11 * 60 + 240)
    assert len(asked_for_newest(venue)) == 11


@pytest.mark.parametrize("end", ["2026-03-01T07:15", "2026-03-01T07:30"])
def test_a_range_that_ends_inside_a_gap_costs_one_question_more(end, liar, sql):
    venue = liar("2026-03-01T12:00:30")
    symbol = venue.list("AAAUSDT", first="2026-01-01")
    symbol.holes = minutes("2026-03-01T07:00", 30)

    summary = backfill("AAAUSDT", start="2026-03-01T06:00", end=end)

    lacking = 15 if end.endswith("15") else 30
    assert outcome(summary) == (0, 60, lacking, 0)
    assert len(venue.asked()) == 3
    assert holes(sql) == lacking


def test_minutes_before_candles_that_are_held_already_are_holes_without_that_question(liar):
    venue = liar("2026-03-01T12:00:30")
    symbol = venue.list("AAAUSDT", first="2026-01-01")
    backfill("AAAUSDT", start="2026-03-01T07:30", end="2026-03-01T08:00")
    symbol.holes = minutes("2026-03-01T07:00", 30)
    venue.forget()

    summary = backfill("AAAUSDT", start="2026-03-01T06:00", end="2026-03-01T08:00")

    assert outcome(summary) == (0, 60, 30, 0)
    assert len(venue.asked()) == 2


def test_the_newest_candle_is_asked_for_two_seconds_after_the_first_answer_and_found_then(liar):
    venue = liar("2026-03-01T12:00:30")
    venue.list("AAAUSDT", first="2026-01-01")
    venue.klines_until_ms = ms("2026-03-01T11:59")

    def arrives(asked):
        if asked.path == KLINES and "startTime" not in asked.query:
            venue.klines_until_ms = None
        return None

    venue.tell = arrives

    assert outcome(backfill("AAAUSDT", start="2026-03-01T11:00")) == (0, 60, 0, 0)
    assert len(venue.asked()) == 3


def test_an_empty_answer_that_comes_once_loses_nothing(liar):
    venue = liar("2026-03-03T12:00:30")
    venue.list("AAAUSDT", first="2026-01-01")
    empty = []

    def once(symbol, query, rows):
        if "endTime" in query and not empty:
            empty.append(query)
            return []
        return rows

    venue.tell_rows = once

    assert outcome(backfill("AAAUSDT", days=2)) == (0, 2880, 0, 0)


def test_klines_that_are_always_empty_are_missing_and_no_holes(liar, sql):
    venue = liar("2026-03-03T12:00:30")
    venue.list("AAAUSDT", first="2026-01-01")
    venue.tell_rows = lambda symbol, query, rows: []

    summary = backfill("AAAUSDT", days=2)

    assert outcome(summary) == (1, 0, 0, 2880)
    assert holes(sql) == 0
    assert len(venue.asked()) < 10
