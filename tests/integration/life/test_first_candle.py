"""Where a series begins: its first candle says so, whatever the listing says."""

from __future__ import annotations

import json

import pytest
from lives import backfill, holes, outcome, shows_first, stored_of
from lying_venue import KLINES, ms, values


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
