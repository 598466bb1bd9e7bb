"""A backfill of series whose venue lies about their life, and what came of it."""

from __future__ import annotations

import asyncio

from lying_venue import ms

import laklak as library

MINUTE_MS = 60_000
DAY_MS = 86_400_000


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
