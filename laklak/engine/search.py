"""Searches the first or the newest candle of a series in a few pages, at a venue that cannot be asked for it.

Pages of the venue's longest interval come first, then those within the candle that they show.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from laklak.errors import OutOfReach
from laklak.model.series import Interval, Series, TimeRange
from laklak.plan.answers import Edge
from laklak.plan.ends import EdgeSearch
from laklak.sources.venue import Feed
from laklak.text import json_text, one_line
from laklak.venues.base import Answer, Asked, DecodeError

_TRIES: Final = 3
_SHOWN: Final = 40


async def look_for(feed: Feed, series: Series, edge: Edge, from_ms: int, wanted_ms: int | None = None) -> int | None:
    """The first candle at or after `from_ms`, or the newest one; None if there is none.

    If a first candle lies long before `wanted_ms`, the start of what is wanted, the start of its long candle will do at
    a venue that may no longer have the minute: a run that depends on the minute asks for it.
    """
    fine, coarse = series.interval, Interval.parse([*feed.venue.intervals][-1])
    until_ms = fine.floor(feed.now_ms()) + fine.ms
    span = TimeRange(fine.ceil(from_ms), until_ms)
    if coarse.ms <= fine.ms:
        return await _look_through(feed, series, edge, span)
    if edge == "newest":
        # Most series are alive: the newest page shows it.
        page = TimeRange(max(span.start_ms, until_ms - _page(feed, series) * fine.ms), until_ms)
        newest = await _search(feed, series, edge, page)
        if newest.open_ms is not None:
            return newest.open_ms
    around = TimeRange(coarse.floor(from_ms), coarse.ceil(until_ms))
    long = await _search(feed, replace(series, interval=coarse), edge, around)
    if long.open_ms is None:
        return None
    inside = span.clip(TimeRange(long.open_ms, long.open_ms + coarse.ms))
    found_ms = await _look_inside(feed, series, edge, inside, wanted_ms)
    if found_ms is not None:
        return found_ms
    # Its candles of this interval begin later than the long ones, or end earlier.
    rest = TimeRange(inside.end_ms, until_ms) if edge == "first" else TimeRange(span.start_ms, inside.start_ms)
    return await _look_through(feed, series, edge, rest)


async def _look_through(feed: Feed, series: Series, edge: Edge, span: TimeRange) -> int | None:
    found = await _search(feed, series, edge, span)
    # The first one within reach need not be the first of all.
    return None if edge == "first" and found.out_of_reach else found.open_ms


async def _look_inside(feed: Feed, series: Series, edge: Edge, inside: TimeRange, wanted_ms: int | None) -> int | None:
    """Look through a long candle at an end of a series; return its start if the venue shows no more."""
    unsaid = edge == "first" and feed.venue.reach_is_unsaid
    if unsaid and wanted_ms is not None and inside.end_ms <= wanted_ms:
        return inside.start_ms
    # If its newest page is out of reach, all of it is.
    found = await _search(feed, series, edge, inside, 1 if unsaid else None)
    if found.open_ms is not None:
        before = unsaid and await _begins_before(feed, series, inside, found.open_ms)
        return inside.start_ms if before else found.open_ms
    # It begins in there, and the venue no longer shows the minute.
    return inside.start_ms if unsaid or (edge == "first" and found.out_of_reach) else None


async def _begins_before(feed: Feed, series: Series, inside: TimeRange, open_ms: int) -> bool:
    """Whether longer candles show that a series began before the first candle that can be seen in `inside`.

    They are the shortest of which a page holds all of `inside`: longer candles reach back further.
    """
    most = _page(feed, series)
    longer = [Interval.parse(name) for name in feed.venue.intervals_of(series.symbol)]
    between = [one for one in longer if one.ms > series.interval.ms and inside.count(one) <= most]
    if open_ms == inside.start_ms or not between:
        return False
    seen = await _search(feed, replace(series, interval=between[0]), "first", inside)
    return seen.open_ms is not None and seen.open_ms < between[0].floor(open_ms)


async def oldest_in_reach(feed: Feed, series: Series, from_ms: int) -> int | None:
    """The oldest candle of this interval that the venue still has at or after `from_ms`, for one that does not say."""
    until_ms = series.interval.floor(feed.now_ms()) + series.interval.ms
    return (await _search(feed, series, "first", TimeRange(from_ms, until_ms))).open_ms


@dataclass(frozen=True, slots=True)
class _SearchResult:
    """What pages showed, and whether some of them are out of the venue's reach."""

    open_ms: int | None
    out_of_reach: bool


async def _search(
    feed: Feed, series: Series, edge: Edge, span: TimeRange, empty_pages: int | None = None
) -> _SearchResult:
    """Look through `span`; after `empty_pages`, if given, nothing is thought to be in it."""
    search = EdgeSearch.over(edge, series.interval, span, _page(feed, series), feed.venue.page.cut)
    out_of_reach = False
    while (window := search.window()) is not None:
        times = []
        if feed.reaches(window.start_ms, series.interval):
            asked = feed.asked(series, window)
            try:
                feed.requests_planned += 1  # No plan has counted it.
                times = await feed.ask(asked, _times(feed, asked), tries=_TRIES)
            except OutOfReach:
                out_of_reach = True
        else:
            out_of_reach = True
        search = search.heard(window, times)
        if search.found_ms is None and search.steps == empty_pages:
            break
    return _SearchResult(search.found_ms, out_of_reach)


def _page(feed: Feed, series: Series) -> int:
    return min(feed.size.sure, feed.page_of(series))


def _times(feed: Feed, asked: Asked) -> Callable[[Answer], list[int]]:
    def read(answer: Answer) -> list[int]:
        sent = feed.venue.read_candles(answer, asked).columns[0]
        span, step_ms = asked.span, asked.series.interval.ms
        times = [one for one in sent if type(one) is int and span.start_ms <= one < span.end_ms and not one % step_ms]
        if len(sent) and not times:
            raise DecodeError(
                f"expected candles of {asked.series} in {span}, got one at {one_line(json_text(sent[0], _SHOWN))}"
            )
        return sorted(times)

    return read
