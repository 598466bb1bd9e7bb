"""Where a series begins and ends at its venue, by its candles: one request each.

A listing says when a symbol was listed and whether it trades; both have been wrong in public.  The open_time of a row
is the evidence, whatever else is in the row.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from laklak.model.series import Series
from laklak.sources.venue import Feed
from laklak.venues.base import DecodeError

_TRIES: Final = 3
_EARLIEST_MS: Final = 946_684_800_000  # 2000-01-01


async def first_open_ms(feed: Feed, series: Series, from_ms: int = 0) -> int | None:
    """The open_time of the first candle at or after `from_ms`, maybe the forming one; None where there is none.

    Raises what Transport.ask raises: PermanentError for a symbol that the venue does not know.
    """
    request = feed.venue.first_candle_request(series, from_ms)
    return await feed.transport.ask(request, _open_time(feed, series), candles=True, tries=_TRIES)


async def newest_open_ms(feed: Feed, series: Series) -> int | None:
    """The open_time of the newest candle, maybe the forming one; None where there is none.  Raises as the other."""
    request = feed.venue.newest_candle_request(series)
    return await feed.transport.ask(request, _open_time(feed, series), candles=True, tries=_TRIES)


def _open_time(feed: Feed, series: Series) -> Callable[[bytes], int | None]:
    def read(body: bytes) -> int | None:
        times = feed.venue.parse_candles(body).columns[0]
        if not times:
            return None
        if len(times) > 1:
            # An answer to another question, from a cache for instance.
            raise DecodeError(f"expected one candle of {series}, got {len(times)}")
        (time_ms,) = times
        # A row beyond the clock is of another answer, or of times in another unit; so is one before 2000.
        if type(time_ms) is not int or not _EARLIEST_MS <= time_ms <= feed.clock.now_ms() + series.interval.ms:
            raise DecodeError(f"expected a candle of {series}, got one at {str(time_ms)[:40]}")
        return series.interval.floor(time_ms)

    return read
