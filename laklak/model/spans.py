"""Algebra of time ranges: joined, parted, subtracted, laid over each other."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import Protocol, Self, TypeVar

from laklak.model.series import Interval, TimeRange


class SpanRow(Protocol):
    """A statement about a stretch of a series."""

    @property
    def span(self) -> TimeRange: ...

    def over(self, span: TimeRange) -> Self:
        """The same for another stretch."""
        ...

    def joins(self, other: Self) -> bool:
        """Whether the two can become one where they touch."""
        ...

    def joined(self, other: Self) -> Self:
        """Join both, from the first start to the last end."""
        ...


R = TypeVar("R", bound=SpanRow)


def on_grid(span: TimeRange, interval: Interval) -> TimeRange:
    """From the first to the end of the last candle that opens in `span`; may be empty."""
    start_ms = interval.ceil(span.start_ms)
    return TimeRange(start_ms, max(start_ms, interval.ceil(span.end_ms)))


def newest_held(wanted: TimeRange, not_held: Sequence[TimeRange], interval: Interval) -> int | None:
    """Return the open_time of the newest candle of `wanted` outside `not_held` (in order, disjoint), or None."""
    end_ms = wanted.end_ms
    for part in reversed(not_held):
        if part.end_ms < end_ms:
            break
        end_ms = part.start_ms
    return end_ms - interval.ms if end_ms > wanted.start_ms else None


def gaps(span: TimeRange, present: Iterable[int], interval: Interval) -> list[TimeRange]:
    """Return the parts of `span` without the open_times in `present`, which are on the grid and rising."""
    found = []
    at = span.start_ms
    for time in present:
        if time < at:
            continue
        if time >= span.end_ms:
            break
        if time > at:
            found.append(TimeRange(at, time))
        at = time + interval.ms
    if at < span.end_ms:
        found.append(TimeRange(at, span.end_ms))
    return found


def merge(ranges: Iterable[TimeRange]) -> list[TimeRange]:
    """Join ranges that touch; they come in order and do not overlap."""
    merged: list[TimeRange] = []
    for part in ranges:
        if merged and merged[-1].end_ms == part.start_ms:
            merged[-1] = TimeRange(merged[-1].start_ms, part.end_ms)
        else:
            merged.append(part)
    return merged


def union(ranges: Iterable[TimeRange]) -> list[TimeRange]:
    """Join ranges that come in any order and may overlap; drop empty ones."""
    joined: list[TimeRange] = []
    for part in sorted((part for part in ranges if part), key=lambda part: part.start_ms):
        if joined and part.start_ms <= joined[-1].end_ms:
            joined[-1] = TimeRange(joined[-1].start_ms, max(joined[-1].end_ms, part.end_ms))
        else:
            joined.append(part)
    return joined


def parted(ranges: Iterable[TimeRange], closed: Sequence[TimeRange]) -> tuple[list[TimeRange], list[TimeRange]]:
    """Part ranges into those outside of the `closed` ones, and those inside; each list is in order and disjoint."""
    outside: list[TimeRange] = []
    inside: list[TimeRange] = []
    for part in ranges:
        start_ms = part.start_ms
        place = bisect_right(closed, start_ms, key=lambda other: other.end_ms)
        while place < len(closed) and closed[place].start_ms < part.end_ms:
            shut = part.clip(closed[place])
            outside.append(TimeRange(start_ms, shut.start_ms))
            inside.append(shut)
            start_ms = shut.end_ms
            place += 1
        outside.append(TimeRange(start_ms, part.end_ms))
    return [part for part in outside if part], [part for part in inside if part]


def runs(times: Iterable[int], interval: Interval) -> list[TimeRange]:
    """Return open_times (rising) as ranges: neighbours on the grid become one."""
    return merge(TimeRange(time, time + interval.ms) for time in times)


def oldest_held(wanted: TimeRange, not_held: Sequence[TimeRange]) -> int | None:
    """Return the open_time of the oldest candle of `wanted` outside `not_held`, or None."""
    start_ms = wanted.start_ms
    for part in not_held:
        if part.start_ms > start_ms:
            break
        start_ms = part.end_ms
    return start_ms if start_ms < wanted.end_ms else None


def overlap(these: Sequence[TimeRange], those: Sequence[TimeRange]) -> list[TimeRange]:
    """Return what two lists of ranges have in common; each is in order, disjoint, and has no empty range."""
    found = []
    for part in these:
        place = bisect_right(those, part.start_ms, key=lambda other: other.end_ms)
        while place < len(those) and those[place].start_ms < part.end_ms:
            found.append(part.clip(those[place]))
            place += 1
    return found


def without(span: TimeRange, ranges: Iterable[TimeRange]) -> list[TimeRange]:
    """Return the parts of `span` outside of `ranges`, which are in order, disjoint and inside it."""
    found = []
    start_ms = span.start_ms
    for part in ranges:
        found.append(TimeRange(start_ms, part.start_ms))
        start_ms = part.end_ms
    found.append(TimeRange(start_ms, span.end_ms))
    return [part for part in found if part]


def count(ranges: Iterable[TimeRange], interval: Interval) -> int:
    """Count the candles of ranges on the grid."""
    return sum(part.count(interval) for part in ranges)


def laid_over(rows: Sequence[R], new: R) -> list[R]:
    """Lay `new` over `rows` (rising, disjoint): it counts where they overlap, and like neighbours join."""
    if not new.span:
        return list(rows)
    start_ms, end_ms = new.span.start_ms, new.span.end_ms
    if not rows or rows[-1].span.end_ms < start_ms:
        return [*rows, new]
    first = bisect_left(rows, start_ms, key=lambda row: row.span.end_ms)
    after = bisect_right(rows, end_ms, key=lambda row: row.span.start_ms)
    head: list[R] = []
    tail: list[R] = []
    for row in rows[first:after]:
        if row.joins(new):
            new = new.joined(row)
            continue
        before, behind = TimeRange(row.span.start_ms, start_ms), TimeRange(end_ms, row.span.end_ms)
        head += [row.over(part) for part in (before,) if part]
        tail += [row.over(part) for part in (behind,) if part]
    return [*rows[:first], *head, new, *tail, *rows[after:]]
