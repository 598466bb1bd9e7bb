"""Stretches without candles that a store remembers: nothing of them is wanted, asked or missing."""

from __future__ import annotations

import asyncio

import pytest

import laklak as library

MINUTE_MS = 60_000
DAY_MS = 86_400_000
END_MS = 1_772_323_200_000
NOON_MS = END_MS - DAY_MS // 2
HOUR = range(NOON_MS, NOON_MS + 3_600_000, MINUTE_MS)


def backfill(*symbols, **options):
    return asyncio.run(library.backfill(list(symbols), **options))


@pytest.fixture
def remembered(venue, sql):
    """A store that holds the last minute of LTCUSDT, and a stretch without candles."""

    def remember(start_ms, end_ms, kind):
        running = venue()
        backfill("LTCUSDT", start="2026-02-28T23:59", end="2026-03-01")
        row = (start_ms, end_ms, kind, END_MS, "as the venue says", END_MS, None, "rest")
        sql("INSERT INTO absent_span SELECT id, ?, ?, ?, ?, ?, ?, ?, ? FROM series", *row)
        return running

    return remember


def test_a_quiet_hour_is_not_asked_for_and_not_missing(remembered, stored, sql):
    running = remembered(HOUR.start, HOUR.stop, "quiet")

    summary = backfill("LTCUSDT", days=1)

    assert (summary.exit, summary.complete, summary.wanted, summary.quiet, summary.missing) == (0, True, 1440, 60, 0)
    assert not {time_ms for _, time_ms in stored()}.intersection(HOUR)
    again = backfill("LTCUSDT", days=1)
    assert (again.candle_requests, again.quiet, again.stored_before) == (0, 60, 1380)
    sql("DELETE FROM laklak_absences")
    asked = len(running.candle_hits)
    later = backfill("LTCUSDT", days=1)
    assert (later.written, len(running.candle_hits) - asked, len(stored())) == (60, 1, 1440)


def test_years_before_a_first_candle_take_no_request(remembered, stored):
    start_ms = END_MS - 5 * 365 * DAY_MS
    running = remembered(start_ms, END_MS - DAY_MS, "before_first")
    asked = len(running.candle_hits)

    summary = backfill("LTCUSDT", days=5 * 365)

    assert (summary.exit, summary.missing, summary.wanted, summary.written) == (0, 0, 1440, 1439)
    # Of 1,440 minutes: one page.
    assert len(running.candle_hits) - asked <= 2
    assert len(stored()) == 1440


def test_a_recheck_asks_for_what_was_quiet(remembered):
    remembered(HOUR.start, HOUR.stop, "quiet")
    backfill("LTCUSDT", days=1)

    summary = backfill("LTCUSDT", days=1, recheck=True)

    assert (summary.exit, summary.written, summary.wanted) == (0, 60, 1440)


def test_a_refetch_leaves_out_what_was_quiet(remembered):
    remembered(HOUR.start, HOUR.stop, "quiet")
    backfill("LTCUSDT", days=1)

    summary = backfill("LTCUSDT", days=1, refetch=True)

    assert (summary.exit, summary.missing, summary.wanted, summary.quiet) == (0, 0, 1440, 60)


def test_check_says_what_is_remembered(remembered, looked):
    remembered(HOUR.start, HOUR.stop, "quiet")

    looked().has("store", "ok", "1 quiet stretch")
