"""Where a series begins and ends: its candles say so, whatever the listing says."""

from __future__ import annotations

import asyncio
import json

import pytest
from lying_venue import KLINES, minutes, ms, values

import laklak as library

MINUTE_MS = 60_000
DAY_MS = 86_400_000


@pytest.fixture(autouse=True)
def quick(hasty):
    """The two seconds between two answers are checked elsewhere."""


def backfill(*symbols, **options):
    summary = asyncio.run(library.backfill(list(symbols), **options))
    parts = (summary.stored_before, summary.written, summary.holes, summary.rejected, summary.missing)
    assert summary.wanted == sum(parts)
    return summary


def outcome(summary):
    return summary.exit, summary.written, summary.holes, summary.missing


def stored_of(sql, symbol="AAAUSDT", interval="1m"):
    statement = "SELECT open_time FROM candles WHERE symbol = ? AND interval = ? ORDER BY open_time"
    return [row[0] for row in sql(statement, symbol, interval)]


def holes(sql):
    return sql("SELECT count(*) FROM laklak_holes")[0][0]


def shows_first(venue, time, lies=1):
    """Asked for the first candle the venue shows it at another time, or none, so many times; then it is honest."""
    told = []

    def tell(symbol, query, rows):
        if query["limit"] != "1" or "startTime" not in query or len(told) == lies:
            return rows
        told.append(query)
        if time is None:
            return []
        open_ms = ms(time)
        return [[open_ms, *rows[0][1:6], open_ms + 59_999, *rows[0][7:]]]

    venue.tell_rows = tell


# The first candle


def test_candles_before_the_listing_date_are_fetched_after_two_questions(liar, stored, sql):
    venue = liar("2019-10-05T00:00:30")
    venue.list("BTCUSDT", onboard="2019-09-25T08:00", first="2019-09-08T17:57")

    summary = backfill("BTCUSDT", start="2019-09-01", end="2019-10-01")

    assert outcome(summary) == (0, 32_043, 0, 0)
    assert stored() == {("BTCUSDT", time): values(time) for time in venue.times("BTCUSDT", "2019-09-01", "2019-10-01")}
    assert [hit.query["limit"] for hit in venue.asked() if len(hit.query) == 4] == ["1", "2"]
    assert holes(sql) == 0


@pytest.mark.parametrize("onboard", ["2019-09-25T08:00", "2026-02-28T08:00", "2031-01-01T00:00", 0, -1, None])
def test_a_range_long_before_the_first_candle_costs_two_questions_and_no_more(onboard, liar, sql):
    venue = liar("2026-03-03T12:00:30")
    venue.list("AAAUSDT", onboard=onboard, first="2026-02-28T08:00")
    pages = -(-(76 * 60) // 1000)

    # One question after the other: how many more are on the wire when the answer comes that settles it is chance.
    summary = backfill("AAAUSDT", start="2026-02-01" if onboard == "2019-09-25T08:00" else "2016-01-01", workers=1)

    assert outcome(summary) == (0, 76 * 60, 0, 0)
    # A listing that is earlier than the range, and than its first candle, costs a third look, in the run.
    assert len(venue.asked()) == pages + (2 if onboard != "2019-09-25T08:00" else 3)
    assert holes(sql) == 0
    venue.forget()
    again = backfill("AAAUSDT", start="2016-01-01")
    assert (again.exit, again.stored_before, venue.asked()) == (0, 76 * 60, [])


@pytest.mark.parametrize(("interval", "count"), [("1d", 3), ("4h", 19), ("1h", 76)])
def test_the_candle_that_the_listing_falls_into_is_fetched(interval, count, liar, sql):
    venue = liar("2026-03-03T12:00:30")
    venue.list("AAAUSDT", onboard="2026-02-28T08:00", first="2026-02-28T08:00")

    summary = backfill("AAAUSDT", start="2026-02-20", interval=interval)

    assert outcome(summary) == (0, count, 0, 0)
    assert stored_of(sql, interval=interval)[0] == ms("2026-02-28T08:00" if interval != "1d" else "2026-02-28")


def test_a_first_candle_is_remembered_with_who_has_shown_it_and_recheck_asks_again(liar, sql):
    venue = liar("2026-03-03T12:00:30")
    symbol = venue.list("AAAUSDT", onboard="2026-03-01T08:00", first="2026-03-01T07:00")
    backfill("AAAUSDT", start="2026-02-20")
    ((value, venue_at),) = sql("SELECT value, venue_at FROM laklak_notes WHERE kind = 'first'")
    first_ms = ms("2026-03-01T07:00")
    assert json.loads(value) == {"ms": first_ms, "time": "2026-03-01T07:00Z", "source": "klines"}
    assert venue_at == pytest.approx(ms("2026-03-03T12:00:30"), abs=60_000)
    symbol.first_ms = ms("2026-03-01T06:00")

    assert outcome(backfill("AAAUSDT", start="2026-02-20")) == (0, 0, 0, 0)
    assert outcome(backfill("AAAUSDT", start="2026-02-20", recheck=True)) == (0, 60, 0, 0)


def test_a_first_candle_that_was_noted_in_the_future_is_asked_for_again(liar, sql):
    venue = liar("2026-03-03T12:00:30")
    venue.list("AAAUSDT", onboard="2026-03-01T08:00", first="2026-03-01T07:00")
    backfill("AAAUSDT", start="2026-02-20")
    sql(
        "UPDATE laklak_notes SET value = '{\"ms\": 1772400000000}', venue_at = venue_at + 86400000 WHERE kind = 'first'"
    )
    sql("DELETE FROM candles WHERE open_time < 1772400000000")

    summary = backfill("AAAUSDT", start="2026-02-20")

    assert (summary.exit, summary.missing) == (0, 0)
    assert stored_of(sql)[0] == ms("2026-03-01T07:00")


def test_a_first_candle_that_is_shown_too_late_once_is_asked_for_again_where_the_listing_is_earlier(liar, sql):
    venue = liar("2026-03-03T12:00:30")
    venue.list("AAAUSDT", onboard="2026-03-01T08:00", first="2026-03-01T08:00")
    shows_first(venue, "2026-03-02T08:00")

    summary = backfill("AAAUSDT", start="2026-02-20")

    assert outcome(summary) == (0, 52 * 60, 0, 0)
    assert stored_of(sql)[0] == ms("2026-03-01T08:00")


@pytest.mark.parametrize("onboard", [None, "2026-03-02T12:00", "2026-02-20T12:00"])
def test_a_first_candle_that_is_shown_too_late_once_is_not_believed(onboard, liar, sql):
    venue = liar("2026-03-03T12:00:30")
    venue.list("AAAUSDT", onboard=onboard, first="2026-03-01T08:00")
    shows_first(venue, "2026-03-02T08:00")

    summary = backfill("AAAUSDT", start="2026-02-20")

    assert outcome(summary) == (0, 52 * 60, 0, 0)
    assert stored_of(sql)[0] == ms("2026-03-01T08:00")
    assert backfill("AAAUSDT", start="2026-02-20").wanted == 52 * 60


@pytest.mark.parametrize("lies", [2, 1000])
def test_a_first_candle_that_only_one_shape_of_question_shows_too_late_takes_nothing_away(lies, liar, sql):
    venue = liar("2026-03-03T12:00:30")
    venue.list("AAAUSDT", onboard=None, first="2026-03-01T08:00")
    shows_first(venue, "2026-03-02T08:00", lies)

    summary = backfill("AAAUSDT", start="2026-02-28")

    assert (summary.exit, summary.written, summary.missing) == (0, 52 * 60, 0)
    assert stored_of(sql)[0] == ms("2026-03-01T08:00")
    assert sql("SELECT value FROM laklak_notes WHERE kind = 'first' AND value LIKE '%2026-03-02%'") == []


def test_a_venue_that_does_not_know_the_beginning_of_time_is_asked_from_the_start_of_the_range(liar, sql):
    """It shows its newest candle then, always."""
    venue = liar("2026-03-03T12:00:30")
    venue.list("AAAUSDT", onboard=None, first="2026-03-01T08:00")

    def newest_for_zero(symbol, query, rows):
        last_ms = ms("2026-03-03T11:59")
        return [[last_ms, *rows[0][1:6], last_ms + 59_999, *rows[0][7:]]] if query.get("startTime") == "0" else rows

    venue.tell_rows = newest_for_zero

    assert outcome(backfill("AAAUSDT", start="2026-02-20")) == (0, 52 * 60, 0, 0)
    venue.forget()
    assert (backfill("AAAUSDT", start="2026-02-20").exit, venue.asked()) == (0, [])


def test_no_page_is_asked_before_the_first_candle_though_the_listing_is_years_earlier(liar, sql):
    venue = liar("2026-03-03T12:00:30", files=True)
    venue.list("AAAUSDT", onboard="2019-09-25T08:00", first="2026-03-01T08:00")

    summary = backfill("AAAUSDT", start="2022-01-01", source="auto")

    assert outcome(summary) == (0, 52 * 60, 0, 0)
    pages = [hit for hit in venue.asked() if len(hit.query) == 5]
    assert min(int(hit.query["startTime"]) for hit in pages) >= ms("2026-03-01T08:00")
    assert {hit.path.rsplit("/", 1)[1].removesuffix(".CHECKSUM") for hit in venue.asked("/data")} <= {
        "AAAUSDT-1m-2026-03-01.zip",
        "AAAUSDT-1m-2026-03-02.zip",
    }
    assert holes(sql) == 0


def test_a_region_that_is_refused_at_that_question_leaves_the_files(liar, sql):
    venue = liar("2026-03-03T12:00:30", files=True)
    venue.list("AAAUSDT", first="2026-01-01")
    venue.tell = lambda asked: (451, b"") if asked.path == KLINES else None

    summary = backfill("AAAUSDT", start="2026-01-01", source="auto")

    assert (summary.exit, summary.written, summary.missing) == (1, 61 * 1440, 12 * 60)


def test_a_range_that_begins_with_candles_that_are_stored_is_not_asked_about(liar):
    venue = liar("2026-03-03T12:00:30")
    venue.list("AAAUSDT", first="2026-01-01")
    backfill("AAAUSDT", start="2026-02-01", end="2026-02-02")
    venue.forget()

    assert outcome(backfill("AAAUSDT", start="2026-02-01", end="2026-03-03"))[:1] == (0,)
    assert [hit for hit in venue.asked() if hit.query["limit"] in ("1", "2")] == []


def test_no_first_candle_is_said_by_two_answers(liar):
    venue = liar("2026-03-02T00:00:30")
    venue.list("AAAUSDT", onboard="2026-03-01T12:00", first="2026-03-01T00:00")
    shows_first(venue, None)

    assert outcome(backfill("AAAUSDT", start="2026-03-01")) == (0, 1440, 0, 0)


def test_a_first_candle_beyond_the_whole_range_is_asked_for_again(liar):
    venue = liar("2026-03-03T00:00:30")
    venue.list("AAAUSDT", onboard="2026-03-01T08:00", first="2026-03-01T08:00")
    shows_first(venue, "2026-03-02T20:00")

    assert outcome(backfill("AAAUSDT", start="2026-03-01", end="2026-03-01T10:00")) == (0, 120, 0, 0)


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


# The end


def test_a_delivery_date_in_the_past_ends_nothing_as_long_as_candles_come(liar):
    venue = liar("2026-03-03T12:00:30")
    venue.list("AAAUSDT", first="2026-01-01", delivery=ms("2026-03-01T00:00"))

    assert outcome(backfill("AAAUSDT", days=1)) == (0, 1440, 0, 0)


@pytest.mark.parametrize("status", ["PENDING_TRADING", "SETTLING", "TRADING"])
def test_a_symbol_that_ended_without_a_date_wants_nothing_more_and_costs_a_question_a_run(status, liar, here, sql):
    venue = liar("2026-03-03T12:00:30")
    venue.list("AAAUSDT", first="2026-01-01")
    venue.list("BTCSTUSDT", first="2024-01-01", last="2025-03-01T08:59", status=status)

    # One question after the other: how many more are on the wire when one shows the end is chance.
    ended = here("backfill", "BTCSTUSDT", "--days", "365", "--json", "--workers", "1")

    assert (ended.exit, ended.json["wanted"], ended.json["holes"], ended.json["missing"]) == (0, 0, 0, 0)
    assert ended.json["ended_series"] == [
        {"series": "binance:BTCSTUSDT:1m", "ended": "2025-03-01T09:00Z", "status": status}
    ]
    assert f"BTCSTUSDT: no candle since 2025-03-01T09:00Z ({status})" in ended.err
    assert holes(sql) == 0
    # Where the venue says that it trades, its first candle is asked for, the end shows after an empty page, and
    # a later candle is asked for.
    assert len(venue.asked()) <= (2 if status != "TRADING" else 5)
    venue.forget()
    again = here("backfill", "BTCSTUSDT", "--days", "365", "--json")
    assert (again.exit, len(venue.asked())) == (0, 1)


def test_a_symbol_that_ended_inside_the_range_is_complete_up_to_its_last_candle(liar, sql):
    venue = liar("2026-03-03T12:00:30")
    venue.list("AAAUSDT", first="2026-01-01")
    venue.list("BBBUSDT", first="2026-01-01", last="2026-03-01T08:59")

    summary = backfill("AAAUSDT", "BBBUSDT", start="2026-03-01")

    assert outcome(summary) == (0, 60 * 60 + 540, 0, 0)
    assert stored_of(sql, "BBBUSDT")[-1] == ms("2026-03-01T08:59")


def test_a_symbol_that_ended_is_wanted_again_when_candles_come_again(liar):
    venue = liar("2026-03-03T12:00:30")
    venue.list("AAAUSDT", first="2026-01-01")
    symbol = venue.list("BBBUSDT", first="2026-01-01", last="2026-03-01T08:59", status="PENDING_TRADING")
    assert outcome(backfill("BBBUSDT", start="2026-03-01")) == (0, 540, 0, 0)
    symbol.last_ms = None
    symbol.holes = minutes("2026-03-01T09:00", 60 * 24)

    summary = backfill("BBBUSDT", start="2026-03-01")

    assert (summary.exit, summary.missing, summary.holes) == (0, 0, 1440)
    assert summary.stored_before + summary.written == 60 * 60 - 1440


def test_a_symbol_without_any_candle_that_does_not_trade_yet_wants_nothing(liar):
    venue = liar("2026-03-03T12:00:30")
    venue.list("AAAUSDT", first="2026-01-01")
    venue.list("NEWUSDT", first="2027-01-01", onboard="2026-03-10T00:00", status="PENDING_TRADING")

    summary = backfill("NEWUSDT", "AAAUSDT", days=1)

    assert outcome(summary) == (0, 1440, 0, 0)


def test_a_trading_symbol_without_any_candle_is_missing_and_asked_cheaply(liar, sql):
    venue = liar("2026-03-03T12:00:30")
    venue.list("AAAUSDT", first="2026-01-01")
    venue.list("NEWUSDT", first="2027-01-01", onboard="2026-03-03T10:00")

    summary = backfill("NEWUSDT", start="2026-01-01")

    assert outcome(summary) == (1, 0, 0, 120)
    assert [failed.reason for failed in summary.failed_series] == ["not_yet"]
    assert len(venue.asked()) <= 6
    assert holes(sql) == 0


# The edge that moves


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
