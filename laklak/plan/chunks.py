"""What is missing, cut into requests.  Pure.

    wanted   the range asked for, from the series' first candle to its last, on the grid of the interval
    missing  its parts that are neither stored nor known to be absent
    chunk    one request; chunks are independent, so they are fetched in any order, many at a time

Page tiers are the venue's price steps, ((candles, weight), ...) rising: a page of up to `candles` costs `weight`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from laklak.model.candles import Chunk
from laklak.model.series import Series, TimeRange
from laklak.model.spans import merge

Tiers = Sequence[tuple[int, int]]


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

    The chunks' `wanted` parts are exactly the missing ranges, each minute once.  Neighbouring parts share a request if
    that costs no more than asking apart: 1440 scattered minutes are two pages, not 1440 requests.
    """
    interval = series.interval
    together: list[TimeRange] = []
    for piece in _pieces(missing, page * interval.ms):
        if together:
            joined = TimeRange(together[0].start_ms, piece.end_ms)
            apart = TimeRange(together[0].start_ms, together[-1].end_ms)
            size = joined.count(interval)
            if size <= page and page_weight(size, tiers) <= page_weight(apart.count(interval), tiers) + page_weight(
                piece.count(interval), tiers
            ):
                together.append(piece)
                continue
            yield Chunk(series, apart, tuple(merge(together)))
        together = [piece]
    if together:
        yield Chunk(series, TimeRange(together[0].start_ms, together[-1].end_ms), tuple(merge(together)))


def _pieces(ranges: Iterable[TimeRange], most_ms: int) -> Iterator[TimeRange]:
    for part in ranges:
        for start_ms in range(part.start_ms, part.end_ms, most_ms):
            yield TimeRange(start_ms, min(part.end_ms, start_ms + most_ms))
