"""What the newest candle says: a stale one ends nothing, and a symbol that klines lack is looked for in files."""

from __future__ import annotations

import asyncio

import pytest
from lives import backfill, holes, outcome, shows_first, stored_of
from lying_venue import minutes, ms

import laklak as library


@pytest.mark.parametrize("status", ["PENDING_TRADING", "TRADING"])
def test_a_newest_candle_that_is_not_there_once_ends_nothing(status, liar):
    venue = liar("2026-03-03T12:00:30")
    venue.list("AAAUSDT", first="2026-01-01", status=status, delivery=ms("2026-03-01T00:00"))
    told = []

    def empty_once(symbol, query, rows):
        if "startTime" not in query and not told:
            told.append(query)
            return []
        return rows

    venue.tell_rows = empty_once

    assert outcome(backfill("AAAUSDT", days=1)) == (0, 1440, 0, 0)


def shows_newest(venue, time, lies, symbol="AAAUSDT"):
    """Asked for the newest candle of a symbol the venue shows an older one, so many times; then it is honest."""
    told = []

    def tell(name, query, rows):
        if name != symbol or set(query) != {"symbol", "interval", "limit"} or len(told) == lies:
            return rows
        told.append(query)
        open_ms = ms(time)
        return [[open_ms, *rows[0][1:6], open_ms + 59_999, *rows[0][7:]]]

    venue.tell_rows = tell
    return told


def test_a_newest_candle_that_is_stale_once_ends_no_series_that_is_said_to_trade(liar):
    """It is asked for after a long page without candles."""
    venue = liar("2026-03-03T12:00:30")
    venue.list("BBBUSDT", first="2026-01-01")
    symbol = venue.list("AAAUSDT", first="2026-01-01")
    symbol.holes = minutes("2026-03-02T09:00", 1200)
    told = shows_newest(venue, "2026-03-01T08:00", 1)

    summary = backfill("AAAUSDT", start="2026-03-01", workers=1)

    assert (summary.exit, summary.written, summary.missing) == (0, 60 * 60 - 1200, 0)
    assert (len(told), summary.ended_series) == (1, ())


def test_a_series_that_trades_has_ended_when_two_questions_say_so_and_costs_one_a_run_from_then_on(liar):
    venue = liar("2026-03-03T12:00:30")
    venue.list("BBBUSDT", first="2026-01-01")
    venue.list("AAAUSDT", first="2026-01-01", last="2026-03-01T08:59")

    assert outcome(backfill("AAAUSDT", start="2026-03-01", workers=1)) == (0, 540, 0, 0)
    edges = [hit.query for hit in venue.asked(symbol="AAAUSDT") if hit.query["limit"] == "1"]
    assert [query.get("startTime") for query in edges] == [None, str(ms("2026-03-01T09:00"))]
    venue.forget()
    assert (backfill("AAAUSDT", start="2026-03-01").exit, len(venue.asked())) == (0, 1)


def test_a_recheck_of_a_later_range_does_not_take_away_what_a_file_has_shown(liar, sql):
    venue = liar("2026-03-18T12:00:30", files=True)
    symbol = venue.list("AAAUSDT", onboard="2026-03-15T08:00", first="2026-03-15T08:00")
    symbol.file_first_ms = ms("2026-03-13")
    whole = {"start": "2026-03-10", "end": "2026-03-18"}
    assert outcome(backfill("AAAUSDT", **whole)) == (0, 5 * 1440, 0, 0)
    backfill("AAAUSDT", start="2026-03-14", end="2026-03-18", recheck=True)
    sql("DELETE FROM candles WHERE open_time < ?", ms("2026-03-14"))

    again = backfill("AAAUSDT", **whole)

    assert (again.exit, again.wanted, again.written) == (0, 5 * 1440, 1440)


def test_two_series_that_are_equally_far_behind_have_not_ended(liar):
    venue = liar("2026-03-03T12:00:30")
    venue.list("AAAUSDT", first="2026-01-01")
    venue.list("BBBUSDT", first="2026-01-01", status="PENDING_TRADING")
    venue.klines_until_ms = ms("2026-03-02T11:00")

    summary = backfill("AAAUSDT", "BBBUSDT", start="2026-03-02")

    assert (summary.exit, summary.ended_series) == (1, ())


def test_a_symbol_that_klines_have_nothing_of_is_looked_for_in_files(liar):
    venue = liar("2026-03-10T12:00:30", files=True)
    venue.list("BBBUSDT", first="2026-01-01")
    venue.list("AAAUSDT", first="2026-01-01", last="2026-01-31T23:59", status="SETTLING")
    venue.tell_rows = lambda symbol, query, rows: [] if symbol == "AAAUSDT" else rows

    summary = backfill("AAAUSDT", start="2026-01-01", end="2026-02-10")

    assert outcome(summary) == (0, 31 * 1440, 0, 0)


@pytest.mark.parametrize("lies", [1, 1000])
def test_a_first_candle_that_is_shown_too_early_leaves_no_holes_before_the_true_one(lies, liar, sql):
    venue = liar("2026-03-03T12:00:30")
    venue.list("AAAUSDT", onboard="2026-03-01T08:00", first="2026-03-01T08:00")
    shows_first(venue, "2026-02-25T08:00", lies)

    summary = backfill("AAAUSDT", start="2026-02-20")

    if lies == 1:
        assert outcome(summary) == (0, 52 * 60, 0, 0)
        assert holes(sql) == 0
        assert backfill("AAAUSDT", start="2026-02-20").wanted == 52 * 60
    else:
        # Who insists keeps what lies between wanted, and two answers lack it.
        assert (summary.exit, summary.written, summary.holes) == (0, 52 * 60, 4 * 1440)


@pytest.mark.parametrize("source", ["auto", "archive"])
def test_a_bulk_file_with_earlier_candles_widens_what_is_wanted_in_the_same_run(source, liar, sql):
    venue = liar("2026-03-03T12:00:30", files=True)
    symbol = venue.list("AAAUSDT", onboard="2026-03-01T12:00", first="2026-03-01T12:00")
    symbol.file_first_ms = ms("2026-02-27T18:00")

    summary = backfill("AAAUSDT", start="2026-02-20", end="2026-03-02", source=source)

    assert (summary.exit, summary.written, summary.missing) == (0, 54 * 60, 0)
    assert stored_of(sql)[0] == ms("2026-02-27T18:00")
    assert holes(sql) == 0
    again = backfill("AAAUSDT", start="2026-02-20", end="2026-03-02", source=source)
    assert (again.exit, again.stored_before, again.missing) == (0, 54 * 60, 0)


@pytest.mark.parametrize("days", ["90", "3650"])
def test_a_range_before_the_first_candle_is_told_in_the_plan_and_in_the_summary(days, liar, here):
    venue = liar("2026-03-03T12:00:30")
    venue.list("AAAUSDT", onboard="2026-03-01T08:00", first="2026-03-01T07:00")

    ended = here("backfill", "AAAUSDT", "--days", days)

    line = "AAAUSDT: first candle 2026-03-01T07:00Z: nothing is wanted before"
    assert (ended.exit, line in ended.err, line in ended.out) == (0, True, True)
    assert here("backfill", "AAAUSDT", "--days", days, "--json").json["begun_series"] == [
        {"series": "binance:AAAUSDT:1m", "first": "2026-03-01T07:00Z"}
    ]


def test_many_first_candles_in_a_range_are_told_in_one_line(liar, here):
    venue = liar("2026-03-03T12:00:30")
    for letter in "ABCDEFGHIJ":
        venue.list(f"{letter * 3}USDT", onboard="2026-03-03T08:00", first="2026-03-03T08:00")

    ended = here("backfill", *venue.symbols, "--days", "2")

    (line,) = [line.strip() for line in ended.out.splitlines() if "first candles" in line]
    assert line.startswith(
        "first candles, nothing is wanted before (--recheck asks for them again): AAAUSDT 2026-03-03T08:00Z, BBBUSDT"
    )
    assert line.endswith("and 2 more")


def test_dates_of_the_listing_cut_nothing_of_a_dry_run(liar):
    venue = liar("2026-03-03T12:00:30")
    venue.list("AAAUSDT", onboard="2026-03-01T08:00", first="2026-03-01T07:00", delivery=ms("2026-03-02T00:00"))

    estimate = asyncio.run(library.backfill(["AAAUSDT"], start="2026-02-20", dry_run=True))

    assert estimate.to_fetch == 53 * 60
