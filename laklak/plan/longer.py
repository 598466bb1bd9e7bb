"""Longer candles made of shorter ones. Pure.

    bucket    a candle of the longer interval, on its grid, which starts in 1970 as every venue's does
    complete  each of its shorter candles is held or quiet, and at least one is held

Open is the first one's, high and low are the largest and the smallest, close is the last one's. The volume is the exact
sum of the venue's decimals, rounded once: a double's shortest text is the venue's text if that had at most 15 digits.
So it is the venue's own sum, and grouping does not change it.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from math import isfinite
from typing import Final

from laklak.model.series import Interval, TimeRange
from laklak.model.spans import count, gaps, overlap, union, without

Values = tuple[Sequence[float], ...]

_DIGITS_AT_MOST: Final = 10
_UNITS_AT_MOST: Final = 10**15
_EXACT: Final = Context(prec=1_000)
"""More digits than the largest and the smallest double have together."""


@dataclass(frozen=True, slots=True)
class Buckets:
    """The buckets of a range, each in one of these lists, which are in order and disjoint.

    `quiet`: nothing traded in the whole bucket, so it has no candle; `closed`: the venue did not trade then, or the
    series did not live. `lacking`: a part is neither held nor quiet.
    """

    complete: tuple[TimeRange, ...]
    quiet: tuple[TimeRange, ...]
    closed: tuple[TimeRange, ...]
    lacking: tuple[TimeRange, ...]


def can_be_made(longer: Interval, of: Interval) -> bool:
    return longer.ms > of.ms and longer.ms % of.ms == 0


def around(span: TimeRange, longer: Interval) -> TimeRange:
    """The buckets that `span` touches."""
    return TimeRange(longer.floor(span.start_ms), longer.ceil(span.end_ms))


def inside(span: TimeRange, longer: Interval) -> TimeRange:
    """The buckets that lie in `span` as a whole; may be empty."""
    start_ms = longer.ceil(span.start_ms)
    return TimeRange(start_ms, max(start_ms, longer.floor(span.end_ms)))


def buckets_of(
    span: TimeRange,
    quiet: Iterable[TimeRange],
    closed: Iterable[TimeRange],
    unknown: Iterable[TimeRange],
    longer: Interval,
) -> Buckets:
    """Sort the buckets of `span`, which is on their grid; what is not `quiet`, `closed` or `unknown` of it is held."""
    shut_parts = union(closed)
    silent = union(inside(part, longer) for part in union(quiet))
    shut = union(inside(part, longer) for part in shut_parts)
    touched = union(around(part, longer) for part in [*shut_parts, *unknown])
    lacking = [piece for part in touched for piece in without(part, overlap([part], shut))]
    return Buckets(tuple(without(span, union([*lacking, *silent, *shut]))), tuple(silent), tuple(shut), tuple(lacking))


class LongerCandles:
    """Takes shorter candles, oldest first, in parts cut anywhere, and makes one candle of each complete bucket.

    `quiet`: when nothing traded (in order, disjoint). Keeps the shorter candles of at most one bucket.
    """

    def __init__(self, longer: Interval, of: Interval, quiet: Sequence[TimeRange] = ()) -> None:
        self._longer = longer
        self._of = of
        self._most = longer.ms // of.ms
        self._quiet = quiet
        self._digits = 0
        self._rest: tuple[Sequence[int], Values] = ((), ((),) * 5)
        self._forget()

    def _forget(self) -> None:
        self.open_times = array("q")
        self.values: tuple[array[float], ...] = tuple(array("d") for _ in range(5))

    def taken(self) -> tuple[array[int], tuple[array[float], ...]]:
        """Return the open_times and values made since the last call, and forget them."""
        made = self.open_times, self.values
        self._forget()
        return made

    def add(self, open_times: Sequence[int], values: Values) -> None:
        """Add shorter candles; the last bucket stays open for the next ones."""
        times: Sequence[int] = [*self._rest[0], *open_times]
        columns = [[*rest, *column] for rest, column in zip(self._rest[1], values, strict=True)]
        if not times:
            return
        done = bisect_left(times, self._longer.floor(times[-1]))
        self._make(times[:done], columns)
        self._rest = times[done:], tuple(column[done:] for column in columns)

    def end(self) -> None:
        """Close the last bucket."""
        times, columns = self._rest
        self._rest = ((), ((),) * 5)
        self._make(times, columns)

    def _make(self, times: Sequence[int], columns: Sequence[Sequence[float]]) -> None:
        if not times:
            return
        opens, highs, lows, closes, volumes = columns
        volume_of = self._adder(volumes)
        first = 0
        while first < len(times):
            start_ms = self._longer.floor(times[first])
            after = bisect_left(times, start_ms + self._longer.ms, first, min(len(times), first + self._most))
            if after - first == self._most or self._is_quiet_else(start_ms, times[first:after]):
                volume = volume_of(first, after)
                # A sum beyond every double: there is no such candle.
                if isfinite(volume):
                    self.open_times.append(start_ms)
                    made = (opens[first], max(highs[first:after]), min(lows[first:after]), closes[after - 1], volume)
                    for column, value in zip(self.values, made, strict=True):
                        column.append(value)
            first = after

    def _adder(self, volumes: Sequence[float]) -> Callable[[int, int], float]:
        """Return a function that sums volumes between two indexes: in units of their last digit, else as decimals."""
        while self._digits <= _DIGITS_AT_MOST:
            units = _in_units(volumes, self._digits)
            if units is not None:
                scale = 10**self._digits
                return lambda first, after: sum(units[first:after]) / scale
            self._digits += 1
        return lambda first, after: _decimal_sum(volumes[first:after])

    def _is_quiet_else(self, start_ms: int, held: Sequence[int]) -> bool:
        lacking = gaps(TimeRange(start_ms, start_ms + self._longer.ms), held, self._of)
        return count(overlap(lacking, self._quiet), self._of) == count(lacking, self._of)


def _in_units(volumes: Sequence[float], digits: int) -> list[int] | None:
    """Return volumes in units of 10^-digits; None if one has more digits, or too many to be exact."""
    scale = 10**digits
    if max(map(abs, volumes)) * scale > _UNITS_AT_MOST:
        return None
    units = [round(volume * scale) for volume in volumes]
    # Dividing whole numbers rounds once.
    return units if [unit / scale for unit in units] == list(volumes) else None


def _decimal_sum(volumes: Sequence[float]) -> float:
    total = Decimal(0)
    for volume in volumes:
        total = _EXACT.add(total, Decimal(repr(volume)))
    return float(total)
