"""Whole candles told from everything else that may stand in a series, point by point.  Pure.

A day is a number of bits: bit i is the i-th place on the grid of the interval, so a day of minutes has 1,440.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from laklak.model.series import DAY_MS, MINUTE_MS, Interval, TimeRange
from laklak.stores.influx.database import Points

_NS_PER_MS: Final = 1_000_000
_DAY_NS: Final = DAY_MS * _NS_PER_MS
_PLACES: Final = DAY_MS // MINUTE_MS


@dataclass(frozen=True, slots=True)
class DayProof:
    """What stands in a UTC day: the `whole` candles, the minutes on the grid with `broken` ones, and `strays_ns`."""

    whole: int = 0
    broken: int = 0
    strays_ns: tuple[int, ...] = ()

    def also(self, other: DayProof) -> DayProof:
        """Add what was found in another part of the same day."""
        strays_ns = tuple(sorted({*self.strays_ns, *other.strays_ns}))
        return DayProof(self.whole | other.whole, self.broken | other.broken, strays_ns)


def full_day(interval: Interval) -> int:
    """Return the bits of a day without a gap."""
    return (1 << DAY_MS // interval.ms) - 1


def bits_of(interval: Interval, day_ms: int, span: TimeRange) -> int:
    """Return the places of a day that lie in `span`."""
    first, after = (
        min(max(-(-(edge_ms - day_ms) // interval.ms), 0), DAY_MS // interval.ms)
        for edge_ms in (span.start_ms, span.end_ms)
    )
    return (1 << after) - (1 << first) if after > first else 0


def times_of(interval: Interval, day_ms: int, bits: int) -> list[int]:
    """Return the open_times of a day with these bits, rising."""
    return [day_ms + place * interval.ms for place, digit in enumerate(reversed(f"{bits:b}")) if digit == "1"]


def bits_by_day(interval: Interval, open_times: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the days of rising open_times with their bits."""
    for day, first, after in _by_day(open_times, DAY_MS):
        places = [(open_times[edge] - day) // interval.ms for edge in (first, after - 1)]
        if places[1] - places[0] == after - first - 1:
            yield day, (2 << places[1]) - (1 << places[0])
        else:
            yield day, _bits((time - day) // interval.ms for time in open_times[first:after])


def prove(interval: Interval, points: Points) -> dict[int, DayProof]:
    """Return what stands in the days that have any points: day start in ms -> what was found."""
    whole = dict(_sorted_out(interval, points.whole_ns))
    broken = dict(_sorted_out(interval, points.broken_ns))
    nothing = (0, ())
    return {
        day: DayProof(
            whole.get(day, nothing)[0],
            broken.get(day, nothing)[0],
            tuple(sorted([*whole.get(day, nothing)[1], *broken.get(day, nothing)[1]])),
        )
        for day in sorted({*whole, *broken})
    }


def stretches(days: Iterable[int], step_ms: int | None = None) -> Iterator[TimeRange]:
    """Join days, rising, to ranges of neighbours, each at most `step_ms` long."""
    start_ms = end_ms = 0
    for day in days:
        if day == end_ms and end_ms > start_ms and (step_ms is None or day - start_ms < step_ms):
            end_ms += DAY_MS
            continue
        if end_ms > start_ms:
            yield TimeRange(start_ms, end_ms)
        start_ms, end_ms = day, day + DAY_MS
    if end_ms > start_ms:
        yield TimeRange(start_ms, end_ms)


def clipped_proof(interval: Interval, day_ms: int, found: DayProof, span: TimeRange) -> DayProof:
    """Return what of a day lies in `span`."""
    inside = bits_of(interval, day_ms, span)
    start_ns, end_ns = span.start_ms * _NS_PER_MS, span.end_ms * _NS_PER_MS
    strays = tuple(time_ns for time_ns in found.strays_ns if start_ns <= time_ns < end_ns)
    return DayProof(found.whole & inside, found.broken & inside, strays)


def counts_of(proofs: Mapping[int, DayProof]) -> dict[int, int]:
    """Count whole candles a day, without days that have none."""
    return {day: found.whole.bit_count() for day, found in proofs.items() if found.whole}


def _sorted_out(interval: Interval, times_ns: Sequence[int]) -> Iterator[tuple[int, tuple[int, tuple[int, ...]]]]:
    step_ns, full = interval.ms * _NS_PER_MS, DAY_MS // interval.ms
    for day_ns, first, after in _by_day(times_ns, _DAY_NS):
        times = times_ns[first:after]
        if len(times) == full and list(times) == list(range(day_ns, day_ns + _DAY_NS, step_ns)):
            yield day_ns // _NS_PER_MS, (full_day(interval), ())
            continue
        off = tuple(time_ns for time_ns in times if time_ns % step_ns)
        bits = _bits((time_ns - day_ns) // step_ns for time_ns in times if not time_ns % step_ns)
        yield day_ns // _NS_PER_MS, (bits, off)


def _by_day(times: Sequence[int], day: int) -> Iterator[tuple[int, int, int]]:
    """Yield where the times, rising, of each day lie: its start, the first place and the one after the last."""
    first = 0
    while first < len(times):
        start = times[first] - times[first] % day
        after = bisect_left(times, start + day, first)
        yield start, first, after
        first = after


def _bits(places: Iterable[int]) -> int:
    # All digits become a number at once; shifting a number of 1,440 bits a minute would take ten times as long.
    digits = bytearray(b"0" * _PLACES)
    for place in places:
        digits[_PLACES - 1 - place] = 49
    return int(digits, 2)
