"""Where a series ends: its candles say so, whatever the listing says."""

from __future__ import annotations

import pytest
from lives import backfill, holes, outcome, stored_of
from lying_venue import minutes, ms


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
