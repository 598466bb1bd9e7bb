"""Longer candles made of shorter ones.  Pure.

bucket    a candle of the longer interval, on its grid, which starts in 1970 as that of every venue
complete  each shorter candle of it is held or quiet, and at least one is held

Open is that of the first one, high and low are the largest and the smallest, close is that of the last one; the volume
is the exact sum of the doubles, rounded once (math.fsum), so it does not depend on how they were grouped.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import fsum

from laklak.model.series import Interval, TimeRange
from laklak.model.spans import count, gaps, overlap, union, without

Values = tuple[Sequence[float], ...]


@dataclass(frozen=True, slots=True)
class Buckets:
    """The buckets of a range, each in one of these lists, which are in order and disjoint.

    `quiet`: nothing was traded in all of it, so there is no candle. `lacking`: some of it is neither held nor quiet.
    """

    complete: tuple[TimeRange, ...]
    quiet: tuple[TimeRange, ...]
    lacking: tuple[TimeRange, ...]


def can_be_made(longer: Interval, of: Interval) -> bool:
    return longer.ms > of.ms and longer.ms % of.ms == 0


def around(span: TimeRange, longer: Interval) -> TimeRange:
    """The buckets that `span` touches."""
    return TimeRange(longer.floor(span.start_ms), longer.ceil(span.end_ms))


def buckets_of(span: TimeRange, quiet: Iterable[TimeRange], unknown: Iterable[TimeRange], longer: Interval) -> Buckets:
    """Sort the buckets of `span`, which is on their grid; what is neither `quiet` nor `unknown` of it is held."""
    lacking = union(around(part, longer) for part in unknown)
    inside = (TimeRange(longer.ceil(part.start_ms), longer.floor(part.end_ms)) for part in union(quiet))
    silent = [part for part in inside if part]
    return Buckets(tuple(without(span, union([*lacking, *silent]))), tuple(silent), tuple(lacking))


class LongerCandles:
    """Takes shorter candles, oldest first, in parts cut anywhere, and gives one candle of each complete bucket.

    `quiet` (in order, disjoint): when nothing was traded. Of the shorter ones no more is kept than one bucket has.
    """

    def __init__(self, longer: Interval, of: Interval, quiet: Sequence[TimeRange] = ()) -> None:
        self._longer = longer
        self._of = of
        self._most = longer.ms // of.ms
        self._quiet = quiet
        self._rest: tuple[Sequence[int], Values] = ((), ((),) * 5)
        self.open_times = array("q")
        self.values: tuple[array[float], ...] = tuple(array("d") for _ in range(5))

    def add(self, open_times: Sequence[int], values: Values) -> None:
        """Take these; the last bucket stays open for the next ones."""
        times: Sequence[int] = [*self._rest[0], *open_times]
        columns = [[*rest, *column] for rest, column in zip(self._rest[1], values, strict=True)]
        if not times:
            return
        done = bisect_left(times, self._longer.floor(times[-1]))
        self._make(times[:done], columns)
        self._rest = times[done:], tuple(column[done:] for column in columns)

    def end(self) -> None:
        """There are no more."""
        times, columns = self._rest
        self._rest = ((), ((),) * 5)
        self._make(times, columns)

    def _make(self, times: Sequence[int], columns: Sequence[Sequence[float]]) -> None:
        opens, highs, lows, closes, volumes = columns
        first = 0
        while first < len(times):
            start_ms = self._longer.floor(times[first])
            after = bisect_left(times, start_ms + self._longer.ms, first, min(len(times), first + self._most))
            if after - first == self._most or self._is_quiet_else(start_ms, times[first:after]):
                try:
                    volume = fsum(volumes[first:after])
                except OverflowError:
                    # No double is so large: there is no such candle.
                    first = after
                    continue
                self.open_times.append(start_ms)
                made = (opens[first], max(highs[first:after]), min(lows[first:after]), closes[after - 1], volume)
                for column, value in zip(self.values, made, strict=True):
                    column.append(value)
            first = after

    def _is_quiet_else(self, start_ms: int, held: Sequence[int]) -> bool:
        lacking = gaps(TimeRange(start_ms, start_ms + self._longer.ms), held, self._of)
        return count(overlap(lacking, self._quiet), self._of) == count(lacking, self._of)
