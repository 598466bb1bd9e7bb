"""What is missing, cut into requests.  Pure.

    wanted   the range asked for, from the series' first candle to its last, on the grid of the interval
    missing  its parts that are neither stored nor known to be absent
    chunk    one request; chunks are independent, so they are fetched in any order, many at a time

Page tiers are the venue's price steps, ((candles, weight), ...) rising: a page of up to `candles` costs `weight`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from typing import Final

from laklak.model.candles import Chunk
from laklak.model.series import Series, TimeRange
from laklak.model.spans import merge

Tiers = Sequence[tuple[int, int]]

# After this many requests tried, return those that are certain by then.
_DECIDED_EVERY: Final = 64


def page_weight(candles: int, tiers: Tiers) -> int:
    """Return the cost of a request for `candles`; ValueError above the largest page."""
    for limit, weight in tiers:
        if candles <= limit:
            return weight
    raise ValueError(f"a page holds at most {tiers[-1][0]} candles, not {candles}")


def best_page(tiers: Tiers) -> int:
    """The page size with the most candles per weight; of two equal ones the larger."""
    return max(tiers, key=lambda tier: (tier[0] / tier[1], tier[0]))[0]


def plan_chunks(series: Series, missing: Iterable[TimeRange], tiers: Tiers, page: int) -> Iterator[Chunk]:
    """Cut missing ranges (in order, disjoint) into requests of at most `page` candles.

    The chunks' `wanted` parts are exactly the missing ranges, each minute once. A range is cut only where a page is
    full; no such plan has less weight, and of those of the same weight none has fewer requests: 1440 scattered minutes
    are two pages, not 1440 requests.
    """
    ranges = [part for part in missing if part]
    ways = _Ways(series, ranges, tiers, page)
    for turn in count(1):
        if not ways.heap:
            return
        at_ms, place = heappop(ways.heap)
        way = ways.open.pop(at_ms)
        if not ways.open:
            yield from way.decided(series, ranges)
        elif any(other.cost <= way.cost for other in ways.open.values()):
            continue
        elif not turn % _DECIDED_EVERY:
            yield from _shared([way, *ways.open.values()]).decided(series, ranges)
        if place < len(ranges):
            ways.go_on(way, at_ms, place)


class _Ways:
    """The cheapest way to ask for all before each missing minute; where the last one ends, all is asked.

    Of each price only the widest request is a choice: reaching further for the same weight is never worse.  `open`: the
    ways that may go on, by the minute; `heap`: these minutes, each with the range that it is in.
    """

    def __init__(self, series: Series, ranges: Sequence[TimeRange], tiers: Tiers, page: int) -> None:
        self._interval = series.interval
        self._ranges = ranges
        self._starts = [part.start_ms for part in ranges]
        self._tiers = tiers
        self._sizes = [*(size for size, _ in tiers if size < page), page]
        self.open = {at_ms: _Way(0, 0, None, TimeRange(at_ms, at_ms), slice(0)) for at_ms in self._starts[:1]}
        self.heap = [(at_ms, 0) for at_ms in self.open]

    def go_on(self, way: _Way, at_ms: int, place: int) -> None:
        """Try each request after a way, which ends at a missing minute in the range at `place`."""
        ranges, starts, interval = self._ranges, self._starts, self._interval
        for span, last, after in _requests(at_ms, place, ranges, starts, interval.ms, self._sizes):
            next_ms = span.end_ms if after in (last, len(ranges)) else starts[after]
            weight = way.weight + page_weight(span.count(interval), self._tiers)
            known = self.open.get(next_ms)
            if known is None:
                heappush(self.heap, (next_ms, after))
            if known is None or (weight, way.requests + 1) < known.cost:
                self.open[next_ms] = _Way(weight, way.requests + 1, way, span, slice(place, last + 1))


def _requests(
    at_ms: int, place: int, ranges: Sequence[TimeRange], starts: Sequence[int], step_ms: int, sizes: Sequence[int]
) -> Iterator[tuple[TimeRange, int, int]]:
    """The requests from a missing minute, which is in the range at `place`, on: the widest of each size.

    Each with the last of the ranges of which it asks for something, and the one with which to go on.  Only a page that
    is full cuts a range.
    """
    for size in sizes:
        end_ms = at_ms + size * step_ms
        last = bisect_left(starts, end_ms) - 1
        after = last + 1
        if ranges[last].end_ms > end_ms:
            after = last
            if size < sizes[-1]:
                last -= 1
        if last >= place:
            yield TimeRange(at_ms, min(ranges[last].end_ms, end_ms)), last, after


@dataclass(slots=True, eq=False)
class _Way:
    """A way to ask for missing ranges: its last request, the `ranges` in that, and the way before it."""

    weight: int
    requests: int
    before: _Way | None
    span: TimeRange
    ranges: slice

    @property
    def cost(self) -> tuple[int, int]:
        return self.weight, self.requests

    def decided(self, series: Series, ranges: Sequence[TimeRange]) -> Iterator[Chunk]:
        """Return the requests up to this way, which all others share, and forget them."""
        found = []
        way, before, self.before = self, self.before, None
        while before is not None:
            parts = (part.clip(way.span) for part in ranges[way.ranges])
            found.append(Chunk(series, way.span, tuple(merge(parts))))
            way, before = before, before.before
        return reversed(found)


def _shared(ways: Sequence[_Way]) -> _Way:
    """Return the last way that all of these share."""
    left = dict.fromkeys(ways)
    while len(left) > 1:
        longest = max(left, key=lambda way: way.requests)
        del left[longest]
        if longest.before is not None:
            left[longest.before] = None
    (shared,) = left
    return shared
