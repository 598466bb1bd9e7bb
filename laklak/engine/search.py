"""The first or the newest candle of a series, looked for with a few pages where a venue cannot be asked for it.

Pages of the venue's longest interval come first, then those within the candle that they show.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from laklak.errors import OutOfReach
from laklak.model.series import Interval, Series, TimeRange
from laklak.plan.answers import Edge
from laklak.plan.ends import EdgeSearch
from laklak.sources.venue import Feed
from laklak.venues.base import Answer, Asked, DecodeError

_TRIES: Final = 3


async def look_for(feed: Feed, series: Series, edge: Edge, from_ms: int) -> int | None:
    """The first candle at or after `from_ms`, or the newest one."""
    fine = series.interval
    until_ms = fine.floor(feed.clock.now_ms()) + fine.ms
    coarse = Interval.parse([*feed.venue.intervals][-1])
    start_ms, end_ms = fine.ceil(from_ms), until_ms
    if coarse.ms > fine.ms:
        if edge == "newest":
            # Most series are alive: the newest page shows it.
            page = TimeRange(max(start_ms, until_ms - feed.page * fine.ms), until_ms)
            newest_ms = await _search(feed, series, EdgeSearch.over(edge, fine, page, feed.page))
            if newest_ms is not None:
                return newest_ms
        around = TimeRange(coarse.floor(from_ms), coarse.ceil(until_ms))
        long = replace(series, interval=coarse)
        long_ms = await _search(feed, long, EdgeSearch.over(edge, coarse, around, feed.page))
        if long_ms is None:
            return None
        inside = TimeRange(max(start_ms, long_ms), min(until_ms, long_ms + coarse.ms))
        found_ms = await _search(feed, series, EdgeSearch.over(edge, fine, inside, feed.page))
        if found_ms is not None:
            return found_ms
        # Its candles of this interval begin later than the long ones, or end earlier.
        start_ms, end_ms = (inside.end_ms, end_ms) if edge == "first" else (start_ms, inside.start_ms)
    return await _search(feed, series, EdgeSearch.over(edge, fine, TimeRange(start_ms, end_ms), feed.page))


async def _search(feed: Feed, series: Series, search: EdgeSearch) -> int | None:
    while (window := search.window()) is not None:
        asked = feed.asked(series, window)
        request = feed.venue.candles_request(asked)
        try:
            times = await feed.transport.ask(request, _times(feed, asked), candles=True, tries=_TRIES)
        except OutOfReach:
            times = []
        search = search.heard(window, times)
    return search.found_ms


def _times(feed: Feed, asked: Asked) -> Callable[[Answer], list[int]]:
    def read(answer: Answer) -> list[int]:
        sent = feed.venue.read_candles(answer, asked).columns[0]
        span, step_ms = asked.span, asked.series.interval.ms
        times = [one for one in sent if type(one) is int and span.start_ms <= one < span.end_ms and not one % step_ms]
        if len(sent) and not times:
            raise DecodeError(f"expected candles of {asked.series} in {span}, got one at {str(sent[0])[:40]}")
        return sorted(times)

    return read
