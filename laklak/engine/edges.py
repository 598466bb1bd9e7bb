"""Where a series begins and ends at its venue, by its candles: one request each, and one more to confirm it.

A listing says when a symbol was listed and whether it trades; both have been wrong. The open_time of a row is the
evidence, whatever else is in the row. One answer may be wrong too: an end is believed once a second question, from the
other side, agrees. If a venue cannot be asked for such a candle, laklak.engine.search looks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from laklak.engine.search import look_for
from laklak.errors import OutOfReach
from laklak.model.series import Series, TimeRange
from laklak.sources.venue import Feed
from laklak.text import counted, json_text, one_line
from laklak.venues.base import Answer, Asked, DecodeError, Request

_TRIES: Final = 3
_SHOWN: Final = 40
_EARLIEST_MS: Final = 946_684_800_000  # 2000-01-01


@dataclass(frozen=True, slots=True)
class Beginning:
    """Where a series begins, by two questions of different shape.

    `agreed`: both name `first_ms`. Otherwise only one shape of question shows it; None if candles before the first one
    shown have been seen, so that the beginning is unknown.
    """

    first_ms: int | None
    agreed: bool = False


async def first_open_ms(feed: Feed, series: Series, from_ms: int = 0, wanted_ms: int | None = None) -> int | None:
    """The open_time of the first candle at or after `from_ms`, maybe the forming one; None if there is none.

    If it must be searched, a moment before it may be returned for what is wanted from `wanted_ms` on (look_for).

    Raises as Transport.ask: PermanentError for a symbol that the venue does not know.
    """
    asked = feed.asked(series, TimeRange(from_ms, from_ms + series.interval.ms), anywhere=True)
    request = feed.venue.first_candle_request(asked)
    if request is None:
        return await look_for(feed, series, "first", max(from_ms, _EARLIEST_MS), wanted_ms)
    times = await _ask(feed, asked, request)
    return times[0] if times else None


async def newest_open_ms(feed: Feed, series: Series) -> int | None:
    """The open_time of the newest candle, maybe the forming one; None if there is none. Raises as first_open_ms."""
    now_ms = series.interval.floor(feed.now_ms())
    asked = feed.asked(series, TimeRange(now_ms, now_ms + series.interval.ms), anywhere=True)
    request = feed.venue.newest_candle_request(asked)
    if request is None:
        return await look_for(feed, series, "newest", _EARLIEST_MS)
    times = await _ask(feed, asked, request)
    return times[0] if times else None


async def later_open_ms(feed: Feed, series: Series, open_ms: int) -> int | None:
    """The open_time of a candle after the one that an answer called newest; None if there is none."""
    return await first_open_ms(feed, series, open_ms + series.interval.ms)


async def hold_first(feed: Feed, series: Series, first_ms: int, from_ms: int) -> Beginning:
    """Check the first candle that one answer showed against the last two that open by then: only it should come.

    If they differ, ask for both once more, now for the first candle at or after `from_ms`, the start of the wanted
    range: a venue may not understand a question from the beginning of time.
    """
    earliest_ms = first_ms
    seen: list[int] = []
    for asks_again in (False, True):
        if asks_again:
            again_ms = await first_open_ms(feed, series, from_ms)
            if again_ms is None:
                break
            first_ms = again_ms
            earliest_ms = min(earliest_ms, first_ms)
        times = await _last_by(feed, series, first_ms)
        # If the minute itself is out of reach, all that can be shown is that nothing opens by then.
        alone = times == [first_ms] or (not times and feed.venue.reach_is_unsaid)
        if alone and all(first_ms <= time_ms for time_ms in seen):
            return Beginning(first_ms, agreed=True)
        seen += times
    return Beginning(None if any(time_ms < earliest_ms for time_ms in seen) else earliest_ms)


async def _last_by(feed: Feed, series: Series, open_ms: int) -> list[int]:
    """The last two candles that open by `open_ms`, or the page that ends with it if that is all one can ask."""
    end_ms = open_ms + series.interval.ms
    asked = feed.asked(series, TimeRange(end_ms - 2 * series.interval.ms, end_ms), anywhere=True)
    request = feed.venue.candles_until_request(asked)
    if request is None:
        page = TimeRange(end_ms - feed.page_of(series) * series.interval.ms, end_ms)
        if not feed.reaches(page.start_ms, series.interval):
            # Candles before this one are out of reach.
            return []
        asked = feed.asked(series, page)
        request = feed.venue.candles_request(asked)
    try:
        # A row off the grid is the candle that its time falls into.
        return await _ask(feed, asked, request, until_ms=end_ms - 1)
    except OutOfReach:
        return []


async def _ask(feed: Feed, asked: Asked, request: Request, until_ms: int | None = None) -> list[int]:
    """Ask for at most `asked.count` candles, none of them after `until_ms`; returns their open_times on the grid."""
    feed.requests_planned += 1  # No plan has counted it.
    return await feed.ask(asked, _open_times(feed, asked, until_ms), request=request, tries=_TRIES)


def _open_times(feed: Feed, asked: Asked, until_ms: int | None) -> Callable[[Answer], list[int]]:
    series, most = asked.series, asked.count

    def read(answer: Answer) -> list[int]:
        times: Sequence[object] = feed.venue.read_candles(answer, asked).columns[0]
        if len(times) > most:
            # The answer to another question, from a cache for instance.
            raise DecodeError(f"expected {counted(most, 'candle')} of {series} at most, got {len(times)}")
        # A row later than the clock, or before 2000, is of another answer or has a time in another unit.
        latest_ms = feed.now_ms() + series.interval.ms
        latest_ms = latest_ms if until_ms is None else min(latest_ms, until_ms)
        found = []
        for time_ms in times:
            if type(time_ms) is not int or not _EARLIEST_MS <= time_ms <= latest_ms:
                raise DecodeError(f"expected a candle of {series}, got one at {one_line(json_text(time_ms, _SHOWN))}")
            found.append(series.interval.floor(time_ms))
        return found

    return read
