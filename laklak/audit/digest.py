"""Digests of the candles that a store has, a UTC day at a time; what they are says laklak.model.digest."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from hashlib import sha256
from math import isfinite

from laklak.audit.coverage import Chosen, Range, chosen_of
from laklak.engine.store_work import each
from laklak.model.digest import FORMAT, ROW, DayDigest, DayRows, leaf, root, sums_of_packed
from laklak.model.series import DAY_MS, Interval, Series, TimeRange, iso
from laklak.model.spans import overlap
from laklak.stores.base import Columns, Store


@dataclass(frozen=True, slots=True)
class SeriesDigest:
    """The days of a series that have candles, rising."""

    series: Series
    days: tuple[DayDigest, ...]

    @property
    def rows(self) -> int:
        return sum(day.rows for day in self.days)

    @property
    def root(self) -> bytes | None:
        return root([leaf(self.series, day) for day in self.days])


@dataclass(frozen=True, slots=True)
class DigestReport:
    """Every series by name, and by venue the moment by which a day had ended or not."""

    store: str
    as_of: Mapping[str, int]
    series: tuple[SeriesDigest, ...]

    @property
    def root(self) -> bytes | None:
        return root([found for one in self.series if (found := one.root)])


async def digest_of(
    store: Store,
    asked: Sequence[Series],
    wanted: Range,
    *,
    typed: bool,
    interval: Interval | None = None,
    sums: bool = False,
) -> DigestReport:
    """The digests of `asked`, or of all that the store has (of an `interval`), of whole days; every row is read.

    `typed` ones that the store has never heard of are an error, those of a list have no days. `sums`: those too.
    """
    return await digests_of(store, await chosen_of(store, asked, typed=typed, interval=interval), wanted, sums=sums)


async def digests_of(store: Store, chosen: Chosen, wanted: Range, *, sums: bool = False) -> DigestReport:
    """The same of series that were chosen before."""

    async def one(series: Series) -> SeriesDigest:
        as_of_ms = chosen.as_of[series.venue]
        span = whole_days_of(wanted, chosen.held.get(series), as_of_ms)
        return SeriesDigest(series, tuple([day async for day in days_of(store, series, span, as_of_ms, sums=sums)]))

    found = await each(sorted(chosen.series, key=str), one)
    return DigestReport(store.display, chosen.as_of, tuple(found))


def whole_days_of(wanted: Range, held: TimeRange | None, as_of_ms: int) -> TimeRange:
    """The range in whole UTC days, so that a day is digested as a whole or not at all; as far as there are candles."""
    if held is None:
        return TimeRange(0, 0)
    end_ms = max(as_of_ms, held.end_ms) if wanted.end_ms is None else wanted.end_ms
    start_ms = held.start_ms if wanted.start_ms is None else wanted.start_ms
    if wanted.days is not None:
        start_ms = (as_of_ms if wanted.end_ms is None else wanted.end_ms) - wanted.days * DAY_MS
    cut = TimeRange(start_ms // DAY_MS * DAY_MS, -(-end_ms // DAY_MS) * DAY_MS)
    return cut.clip(TimeRange(held.start_ms // DAY_MS * DAY_MS, -(-held.end_ms // DAY_MS) * DAY_MS))


async def days_of(
    store: Store,
    series: Series,
    span: TimeRange,
    as_of_ms: int,
    *,
    sums: bool = False,
    found: AsyncGenerator[Columns] | None = None,
) -> AsyncIterator[DayDigest]:
    """The digest of each day of `span` that has candles, oldest first. `found`: these candles, read by the caller."""
    if not span:
        return
    unsure = [one.span for one in await store.provenance(series, span) if one.state == "provisional"]
    async for day_ms, rows in by_day(store.batches(series, span) if found is None else found):
        day = TimeRange(day_ms, day_ms + DAY_MS)
        yield DayDigest(
            day_ms,
            len(rows) // ROW.size,
            sha256(rows).digest(),
            unfinished=day.end_ms > as_of_ms,
            provisional=any(True for _ in overlap([day], unsure)),
            sums=sums_of_packed(rows) if sums else (),
        )


async def by_day(found: AsyncGenerator[Columns]) -> AsyncIterator[tuple[int, bytes]]:
    """Packed rows, a UTC day at a time: the start of each day that has any, and all of its rows."""
    days = DayRows()
    async with aclosing(found):
        async for columns in found:
            for day in days.add(columns.open_times, columns.values):
                yield day
    for day in days.rest():
        yield day


def hex_of(digest: bytes | None) -> str:
    return "-" if digest is None else digest.hex()


def as_object(report: DigestReport) -> dict[str, object]:
    """What --json prints and a file of digests holds."""
    return {
        "format": FORMAT,
        "store": report.store,
        "as_of": {venue: iso(time_ms // 1000 * 1000) for venue, time_ms in report.as_of.items()},
        "root": None if report.root is None else report.root.hex(),
        "series": [_series_object(one) for one in report.series],
    }


def _series_object(one: SeriesDigest) -> dict[str, object]:
    return {
        "series": str(one.series),
        "root": None if one.root is None else one.root.hex(),
        "rows": one.rows,
        "days": [
            {
                "day": day.day,
                "rows": day.rows,
                "sha256": day.sha256.hex(),
                "unfinished": day.unfinished,
                "provisional": day.provisional,
                # JSON spells no infinite number.
                **({"sums": list(day.sums)} if day.sums and all(map(isfinite, day.sums)) else {}),
            }
            for day in one.days
        ],
    }
