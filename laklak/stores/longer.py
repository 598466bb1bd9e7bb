"""Longer candles made of the shorter ones in a store: which can be made, and the candles."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from laklak.model.absences import MINUTE_KINDS, UNWANTED_KINDS, Absence
from laklak.model.series import Interval, Series, TimeRange
from laklak.model.spans import on_grid, overlap, union, without
from laklak.plan.longer import Buckets, LongerCandles, around, buckets_of, can_be_made, inside
from laklak.stores.base import Columns, Store
from laklak.stores.coverage import Presence, take_stock


@dataclass(frozen=True, slots=True)
class Making:
    """The shorter series of a longer one, its buckets, and the ranges in which nothing traded (`quiet`)."""

    of: Series
    buckets: Buckets
    quiet: tuple[TimeRange, ...]


def making_of(of: Series, stock: Presence, span: TimeRange, longer: Interval) -> Making:
    """Return which longer candles the `stock` of `span` allows; `span` is on their grid."""
    quiet = tuple(union(one.span for one in stock.absences if one.kind == "quiet"))
    closed = [on_grid(one.span, of.interval) for one in stock.absences if one.kind in UNWANTED_KINDS]
    absent = [on_grid(one.span, of.interval) for one in stock.absences if one.kind in MINUTE_KINDS]
    return Making(of, buckets_of(span, quiet, closed, [*stock.missing, *absent], longer), quiet)


def without_candles(stock: Presence, longer: Interval) -> list[Absence]:
    """The stretches of which it is known that no longer candle can be made: quiet ones, and closed time."""
    rows: list[Absence] = []
    for one in stock.absences:
        if one.kind not in ("quiet", "closed"):
            continue
        if rows and rows[-1].span.end_ms == one.span.start_ms and rows[-1].joins(one):
            rows[-1] = rows[-1].joined(one)
        else:
            rows.append(one)
    return [one.over(part) for one in rows if (part := inside(one.span, longer))]


def holes_of(stock: Presence, making: Making, whole: TimeRange, longer: Interval) -> list[Absence]:
    """Each bucket of `whole` that is not complete although no shorter candle is missing: what is known of these makes
    it a hole.
    """
    missing = union(around(part, longer) for part in stock.missing)
    lacking = [piece for part in making.buckets.lacking for piece in without(part, overlap([part], missing))]
    found: list[Absence] = []
    for start_ms in (
        time for part in overlap(lacking, [whole]) for time in range(part.start_ms, part.end_ms, longer.ms)
    ):
        place = bisect_right(stock.absences, start_ms, key=lambda one: one.span.end_ms)
        around_there = stock.absences[place : place + longer.ms // making.of.interval.ms]
        end_ms = start_ms + longer.ms
        of = [one for one in around_there if one.span.start_ms < end_ms and one.kind != "quiet"]
        why = f"of {making.of} some is {' and '.join(sorted({one.kind for one in of}))}"
        found.append(Absence.at(longer, start_ms, "hole", max(one.confirmed_at_ms for one in of), why))
    return found


async def made_batches(store: Store, making: Making, span: TimeRange, longer: Interval) -> AsyncGenerator[Columns]:
    """Yield the longer candles of `span`, which is on their grid, oldest first; reads the shorter ones in batches."""
    candles = LongerCandles(longer, making.of.interval, making.quiet)
    async with aclosing(store.batches(making.of, span)) as batches:
        async for columns in batches:
            candles.add(columns.open_times, columns.values)
            if candles.open_times:
                yield Columns(*candles.taken())
    candles.end()
    if candles.open_times:
        yield Columns(*candles.taken())


async def joined(batches: AsyncGenerator[Columns]) -> Columns:
    """Join batches into one."""
    columns: list[array[Any]] = [array("q"), *(array("d") for _ in range(5))]
    async with aclosing(batches):
        async for batch in batches:
            for column, cells in zip(columns, (batch.open_times, *batch.values), strict=True):
                column.extend(cells)
    return Columns(columns[0], tuple(columns[1:]))


def shortest_of(series: Series, held: Mapping[Series, TimeRange]) -> Series | None:
    """Return the shortest stored series from which to make a series that is not stored; None if there is none."""
    shorter = [
        one
        for one in held
        if (one.venue, one.symbol) == (series.venue, series.symbol) and can_be_made(series.interval, one.interval)
    ]
    return None if series in held else min(shorter, key=lambda one: one.interval.ms, default=None)


async def make_on_reading(
    store: Store, series: Series, span: TimeRange, *, first: int | None, last: int | None
) -> tuple[Series, Columns] | None:
    """Return candles of a series that the store lacks, and the series they are made of; None if impossible.

    `first` or `last`: only the oldest or newest candles of `span`; reads only the shorter candles they need.
    """
    held = await store.holdings()
    of = shortest_of(series, held)
    if of is None:
        return None
    longer = series.interval
    inside = on_grid(span.clip(around(held[of], longer)), longer)
    if not inside:
        return of, Columns((), ((),) * 5)
    making = making_of(of, await take_stock(store, of, inside), inside, longer)
    complete = making.buckets.complete
    if not complete:
        return of, Columns((), ((),) * 5)
    wanted = TimeRange(complete[0].start_ms, complete[-1].end_ms)
    if first is not None:
        wanted = TimeRange(wanted.start_ms, _after(complete, first, longer))
    elif last is not None:
        mirrored = [TimeRange(-one.end_ms, -one.start_ms) for one in reversed(complete)]
        wanted = TimeRange(-_after(mirrored, last, longer), wanted.end_ms)
    return of, await joined(made_batches(store, making, wanted, longer))


def _after(complete: Sequence[TimeRange], number: int, interval: Interval) -> int:
    """Return the end of the first `number` candles of these ranges; the end of all if there are fewer."""
    for one in complete:
        if number <= one.count(interval):
            return one.start_ms + number * interval.ms
        number -= one.count(interval)
    return complete[-1].end_ms
