"""Digests of the candles that a store has, a UTC day at a time; what they are says laklak.model.digest."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from hashlib import sha256

from laklak.audit.coverage import Range, as_of_of, chosen_of
from laklak.engine.store_work import each
from laklak.model.digest import FORMAT, ROW, DayDigest, leaf, packed, root
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
    store: Store, asked: Sequence[Series], wanted: Range, *, typed: bool, interval: Interval | None = None
) -> DigestReport:
    """The digests of `asked`, or of all that the store has (of an `interval`), of whole days; every row is read.

    `typed` ones that the store has never heard of are an error, those of a list have no days.
    """
    knowledge, held, chosen = await chosen_of(store, asked, typed=typed, interval=interval)
    as_of = as_of_of(chosen, knowledge, held)

    async def one(series: Series) -> SeriesDigest:
        span = whole_days_of(wanted, held.get(series), as_of[series.venue])
        return SeriesDigest(series, tuple([day async for day in days_of(store, series, span, as_of[series.venue])]))

    return DigestReport(store.display, as_of, tuple(sorted(await each(chosen, one), key=lambda one: str(one.series))))


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


async def days_of(store: Store, series: Series, span: TimeRange, as_of_ms: int) -> AsyncIterator[DayDigest]:
    """The digest of each day of `span` that has candles, oldest first."""
    if not span:
        return
    unsure = [one.span for one in await store.provenance(series, span) if one.state == "provisional"]
    async for day_ms, rows in by_day(store.batches(series, span)):
        day = TimeRange(day_ms, day_ms + DAY_MS)
        yield DayDigest(
            day_ms,
            len(rows) // ROW.size,
            sha256(rows).digest(),
            unfinished=day.end_ms > as_of_ms,
            provisional=any(True for _ in overlap([day], unsure)),
        )


async def by_day(found: AsyncGenerator[Columns]) -> AsyncIterator[tuple[int, bytes]]:
    """Packed rows, a UTC day at a time: the start of each day that has any, and all of its rows."""
    days = _DayRows()
    async with aclosing(found):
        async for columns in found:
            for day in days.add(columns):
                yield day
    for day in days.rest():
        yield day


class RunningDigest:
    """The root of the days of a series whose candles come little by little, oldest first."""

    def __init__(self, series: Series) -> None:
        self._series = series
        self._days = _DayRows()
        self._leaves: list[bytes] = []

    def add(self, columns: Columns) -> None:
        self._digest(self._days.add(columns))

    def root(self) -> bytes | None:
        """All have come."""
        self._digest(self._days.rest())
        return root(self._leaves)

    def _digest(self, days: Iterator[tuple[int, bytes]]) -> None:
        for day_ms, rows in days:
            day = DayDigest(day_ms, len(rows) // ROW.size, sha256(rows).digest())
            self._leaves.append(leaf(self._series, day))


class _DayRows:
    """Packed rows on their way to be whole days."""

    def __init__(self) -> None:
        self._day_ms = 0
        self._rest = b""

    def add(self, columns: Columns) -> Iterator[tuple[int, bytes]]:
        """The days that end with these: later rows are of later days."""
        rows = packed(columns.open_times, columns.values)
        first = 0
        for end, time_ms in _ends_of_days(columns.open_times):
            start_ms = time_ms // DAY_MS * DAY_MS
            if start_ms != self._day_ms:
                yield from self.rest()
            self._day_ms, self._rest = start_ms, self._rest + rows[first * ROW.size : end * ROW.size]
            first = end

    def rest(self) -> Iterator[tuple[int, bytes]]:
        """The day whose end was not seen."""
        rest, self._rest = self._rest, b""
        if rest:
            yield self._day_ms, rest


def _ends_of_days(open_times: Sequence[int]) -> Sequence[tuple[int, int]]:
    """Where the rows of each day end among these, which rise, and a time of that day."""
    found: list[tuple[int, int]] = []
    first = 0
    while first < len(open_times):
        time_ms = open_times[first]
        first = bisect_left(open_times, (time_ms // DAY_MS + 1) * DAY_MS, first)
        found.append((first, time_ms))
    return found


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
            }
            for day in one.days
        ],
    }
