"""What stands in a store held against what has to be so: the rules of candles, digests kept before, another store.

Counts are asked of the store as coverage asks them, sums are made where the candles are; to be sure every row is read.

A sum is rounded on its way, and where and when is the server's affair.  n numbers that are not below zero, added up one
by one in whatever order, differ from their sum by n times 2^-53 of it at most; so two sums say that days differ where
they are further apart than both may be, and nothing where they are not: what is smaller or cancels out is not seen.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from math import isclose, isfinite
from typing import Any, Final, Literal

from laklak.audit.coverage import Range, chosen_of
from laklak.audit.digest import days_of, whole_days_of
from laklak.engine.store_work import each
from laklak.errors import UsageError
from laklak.model.digest import FORMAT, DayDigest
from laklak.model.revisions import Values
from laklak.model.series import DAY_MS, Interval, Series, TimeRange, iso, ms_of
from laklak.stores.base import Columns, Foreign, Store

Depth = Literal["counts", "sums", "full"]
DEPTHS: Final[tuple[Depth, ...]] = ("counts", "sums", "full")
FAULTS_KEPT: Final = 1_000
"""So many faults of a series are named: a store may have millions."""
_ROUNDING: Final = 2.0**-52
_COLUMNS: Final = ("open", "high", "low", "close", "volume")


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is not as it has to be: `what` is a word for programs, `detail` a sentence for people.

    `stored` and `other`: both rows, where two are held against each other; None where there is none.
    """

    time_ms: int
    what: Literal["not_whole", "off_grid", "foreign", "rule", "differs", "not_stored", "not_given", "day"]
    detail: str
    stored: Values | None = None
    other: Values | None = None


@dataclass(frozen=True, slots=True)
class Verified:
    """One series: its candles in `span`, the days that have some, and the first of so many faults.

    `sampled`: days that sources were asked for, of so many `askable` ones.  `unasked`: why not all of them could be;
    empty where they were.  `mended`: faults that are overwritten by now.  `fields`: what other programs have put into
    its points, which is no fault; None where the store could not be asked what they put beside it.
    `compared`: days that were held against digests or another store.
    """

    series: Series
    span: TimeRange
    candles: int
    days: tuple[int, ...]
    faults: tuple[Fault, ...] = ()
    count: int = 0
    sampled: tuple[int, ...] = ()
    askable: int = 0
    unasked: str = ""
    mended: int = 0
    fields: Mapping[str, int] | None = field(default_factory=dict)
    compared: tuple[int, ...] = ()

    @property
    def verdict(self) -> Literal["sound", "differs", "unsure"]:
        if self.count > self.mended:
            return "differs"
        return "unsure" if self.unasked else "sound"

    def also(self, faults: Sequence[Fault], **more: Any) -> Verified:
        """With more faults, in the order of time."""
        kept = sorted([*self.faults, *faults], key=lambda one: one.time_ms)[:FAULTS_KEPT]
        return replace(self, faults=tuple(kept), count=self.count + len(faults), **more)


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """Every series, by name."""

    store: str
    as_of: Mapping[str, int]
    series: tuple[Verified, ...]
    depth: Depth
    against: str | None = None

    @property
    def exit(self) -> int:
        return int(self.compared_nothing or any(one.verdict != "sound" for one in self.series))

    @property
    def compared_nothing(self) -> bool:
        """Whether there is no day here that what it is held against has, too, or should have."""
        compared = any(one.compared for one in self.series)
        return self.against is not None and not compared and any(one.candles for one in self.series)


@dataclass(frozen=True, slots=True)
class Known:
    """Digests that were kept: what they were of, and the days of each series."""

    store: str
    series: Mapping[Series, Mapping[int, DayDigest]] = field(default_factory=dict)

    @property
    def has_sums(self) -> bool:
        """Whether there is a sum of every day."""
        return all(day.sums for days in self.series.values() for day in days.values())


async def verify(
    store: Store,
    asked: Sequence[Series],
    wanted: Range,
    *,
    typed: bool,
    depth: Depth = "full",
    interval: Interval | None = None,
    against: Known | None = None,
    other: Store | None = None,
) -> VerifyReport:
    """Look at `asked`, or all that the store has, as it stands.

    `against`: digests to hold it against; `other`: a store that tells the rows of days that differ, or is itself what
    it is held against.
    """
    chosen = await chosen_of(store, asked, typed=typed, interval=interval)
    there = {} if other is None else await other.holdings()
    if not asked:
        more = there if against is None else against.series
        chosen = chosen.only([*chosen.series, *(one for one in more if interval in (None, one.interval))])
    compared = against is not None or other is not None

    async def one(series: Series) -> Verified:
        as_of_ms = chosen.as_of[series.venue]
        spans = [whole_days_of(wanted, one.get(series), as_of_ms) for one in (chosen.held, there)]
        found, own = await _as_it_stands(store, series, spans[0], depth, as_of_ms, digested=compared)
        if compared:
            known = {} if against is None else against.series.get(series, {})
            if against is None and other is not None:
                known = await _days(other, series, spans[1], as_of_ms, depth)
            known = {day_ms: day for day_ms, day in known.items() if _asked(wanted, day_ms, as_of_ms)}
            found = await _against(found, store, own, known, other, depth)
        return found

    found = await each(sorted(set(chosen.series), key=str), one)
    name = against.store if against is not None else other.display if other is not None else None
    return VerifyReport(store.display, chosen.as_of, tuple(found), depth, name)


async def _as_it_stands(
    store: Store, series: Series, span: TimeRange, depth: Depth, as_of_ms: int, *, digested: bool
) -> tuple[Verified, Mapping[int, DayDigest]]:
    """What is found in a series, and its days as far as that depth knows them; every row is read once at most."""
    if not span:
        return Verified(series, span, 0, ()), {}
    look = _Look(store, series, span, as_of_ms)
    await look.at_odd_rows(anew=depth == "full")
    foreign = await look.at_foreign()
    match depth:
        case "counts":
            days = await look.counted()
        case "sums":
            days = await look.summed_up()
        case "full":
            days = await look.read_all(digested=digested)
    candles = look.rows if depth == "full" else sum(day.rows for day in days.values())
    found = Verified(series, span, candles, tuple(sorted(days))).also(look.faults)
    return replace(found, count=look.count, fields=None if foreign is None else foreign.fields), days


class _Look:
    """One series that is looked at: `count` faults, of which the first `faults` are kept, in so many `rows` read."""

    def __init__(self, store: Store, series: Series, span: TimeRange, as_of_ms: int) -> None:
        self._store = store
        self._series = series
        self._span = span
        self._as_of_ms = as_of_ms
        self.faults: list[Fault] = []
        self.count = 0
        self.rows = 0

    def _found(self, faults: Sequence[Fault]) -> None:
        self.faults += faults
        self.count += len(faults)

    async def at_odd_rows(self, *, anew: bool) -> None:
        series, span = self._series, self._span
        odd = await self._store.odd(series, span, anew=anew)
        self._found([Fault(time_ms, "not_whole", "it has no five finite numbers") for time_ms in odd.not_whole])
        if odd.strays.count:
            first_ms = span.start_ms if odd.strays.first_ns is None else odd.strays.first_ns // 1_000_000
            self._found([Fault(first_ms, "off_grid", f"{odd.strays.count:,} off the grid of {series.interval}")])

    async def at_foreign(self) -> Foreign | None:
        foreign = await self._store.foreign(self._series, self._span)
        self._found([Fault(time_ms, "foreign", told) for time_ms, told in (foreign.points if foreign else ())])
        return foreign

    async def counted(self) -> dict[int, DayDigest]:
        counts = await self._store.count_by_day(self._series, self._span)
        return {day_ms: _day(day_ms, rows, self._as_of_ms) for day_ms, rows in counts.items()}

    async def summed_up(self) -> dict[int, DayDigest]:
        """The days with their sums; only those are read in which a row contradicts itself."""
        sums = await self._store.sums_by_day(self._series, self._span)
        for day_ms in (day_ms for day_ms, one in sums.items() if one.contradicts):
            await self._read_through(TimeRange(day_ms, day_ms + DAY_MS))
        return {day_ms: _day(day_ms, one.rows, self._as_of_ms, one.sums) for day_ms, one in sums.items()}

    async def read_all(self, *, digested: bool) -> dict[int, DayDigest]:
        """The days by all their rows, of which there have to be as many as are counted."""
        days = await self.counted()
        counted = sum(day.rows for day in days.values())
        if digested:
            found = days_of(self._store, self._series, self._span, self._as_of_ms, found=self._read(self._span))
            days = {day.day_ms: day async for day in found}
        else:
            await self._read_through(self._span)
        if self.rows != counted:
            said = f"{self.rows:,} candles can be read, and {counted:,} are counted"
            self._found([Fault(self._span.start_ms, "day", said)])
        return days

    async def _read_through(self, part: TimeRange) -> None:
        async for _ in self._read(part):
            pass

    async def _read(self, part: TimeRange) -> AsyncGenerator[Columns]:
        async with aclosing(self._store.batches(self._series, part)) as batches:
            async for columns in batches:
                self.rows += len(columns.open_times)
                broken = broken_rules(columns)
                self.count += len(broken)
                self.faults += broken[: max(0, FAULTS_KEPT - len(self.faults))]
                yield columns


def _day(day_ms: int, rows: int, as_of_ms: int, sums: tuple[float, ...] = ()) -> DayDigest:
    """A day that was not digested."""
    return DayDigest(day_ms, rows, b"", unfinished=day_ms + DAY_MS > as_of_ms, sums=sums)


def broken_rules(columns: Columns) -> list[Fault]:
    """The candles whose numbers contradict each other, by the rules that every row of a venue has to keep."""
    import polars

    opened, high, low, close, volume = (polars.Series(array("d", column)) for column in columns.values)
    tops, bottoms = (high < opened) | (high < close), (low > opened) | (low > close)
    broken = tops | bottoms | (high < low) | (low <= 0) | (volume < 0)
    if not broken.any():
        return []
    return [
        Fault(columns.open_times[place], "rule", _rule_of(*row), stored=row)
        for place in broken.arg_true()
        for row in [tuple(column[place] for column in columns.values)]
    ]


def _rule_of(opened: float, high: float, low: float, close: float, volume: float) -> str:
    if high < max(opened, low, close):
        return "high is below open, low or close"
    if low > min(opened, close):
        return "low is above open or close"
    return "volume is below zero" if volume < 0 else "a price is not above zero"


# Digests kept before, and another store


def read_known(text: bytes, name: str) -> Known:
    """Take a file of `laklak digest --out`, or the digests in a certificate; UsageError where it has none."""
    try:
        answer = json.loads(text)
        return known_from(answer.get("digests", answer), name)
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise UsageError(
            f"{name} has no digests that can be read", hint="laklak digest --out FILE makes such a file"
        ) from exc


def known_from(answer: Mapping[str, Any], name: str) -> Known:
    """The digests in what `laklak digest --json` says; UsageError of another form, and what Python raises of junk."""
    if answer["format"] != FORMAT:
        raise UsageError(f"{name} has digests of the form {answer['format']}", hint=f"this laklak knows {FORMAT}")
    series = {
        Series.parse(one["series"]): {day.day_ms: day for day in map(_read_day, one["days"])}
        for one in answer["series"]
    }
    return Known(str(answer["store"]), series)


def _read_day(entry: Mapping[str, Any]) -> DayDigest:
    day_ms, digest = ms_of(f"{entry['day']}T00:00Z"), bytes.fromhex(entry["sha256"])
    sums = tuple(map(float, entry.get("sums", ())))
    if len(sums) not in (0, len(_COLUMNS)):
        raise ValueError(f"{len(sums)} sums of a day")
    return DayDigest(day_ms, int(entry["rows"]), digest, entry["unfinished"], entry["provisional"], sums)


async def _against(
    found: Verified,
    store: Store,
    own: Mapping[int, DayDigest],
    known: Mapping[int, DayDigest],
    other: Store | None,
    depth: Depth,
) -> Verified:
    """Name the days that differ, and of another store the rows in them."""
    faults: list[Fault] = []
    for day_ms, before, now in differing(known, own, depth):
        day = TimeRange(day_ms, day_ms + DAY_MS)
        rows = [] if other is None else await _rows_that_differ(store, other, found.series, day)
        faults += rows or [other_day(day_ms, before, now)]
    return found.also(faults, compared=tuple(compared_days(known, own)))


def differing(
    known: Mapping[int, DayDigest], own: Mapping[int, DayDigest], depth: Depth = "full"
) -> list[tuple[int, DayDigest | None, DayDigest | None]]:
    """The days that are other ones than those `known`, with both; one that had not ended then proves nothing."""
    days = ((day_ms, known.get(day_ms), own.get(day_ms)) for day_ms in compared_days(known, own))
    return [(day_ms, before, now) for day_ms, before, now in days if not _same(before, now, depth)]


def compared_days(known: Mapping[int, DayDigest], own: Mapping[int, DayDigest]) -> list[int]:
    """The days of both that say something of each other."""
    unfinished = {day_ms for day_ms, day in known.items() if day.unfinished}
    told = known.keys() - unfinished
    # What is newer than all that is there, or older, may have come since.
    within = range(min(told, default=0), max(told, default=-1) + 1)
    return sorted({*told, *(day_ms for day_ms in own if day_ms in within and day_ms not in unfinished)})


def other_day(day_ms: int, before: DayDigest | None, now: DayDigest | None) -> Fault:
    """A day that is another one than it was there."""
    rows, there = now.rows if now else 0, before.rows if before else 0
    told = f"{rows:,} candles, and {there:,} there" if rows != there else f"{rows:,} candles as there, not the same"
    if before is not None and now is not None and rows == there and (place := _sum_apart(before, now)) >= 0:
        told = f"the sum of {_COLUMNS[place]} is {now.sums[place]!r}, and {before.sums[place]!r} there"
    return Fault(day_ms, "day", f"the day is another one: {told}")


def _same(before: DayDigest | None, now: DayDigest | None, depth: Depth) -> bool:
    if before is None or now is None:
        return before is now
    if before.rows != now.rows or depth == "counts":
        return before.rows == now.rows
    return before.sha256 == now.sha256 if depth == "full" else _sum_apart(before, now) < 0


def _sum_apart(before: DayDigest, now: DayDigest) -> int:
    """The first column whose sums are further apart than rounding may bring them; -1 where none is."""
    pairs = enumerate(zip(before.sums, now.sums, strict=False))
    return next((place for place, pair in pairs if not isclose(*pair, rel_tol=now.rows * _ROUNDING)), -1)


def _asked(wanted: Range, day_ms: int, as_of_ms: int) -> bool:
    return bool(whole_days_of(wanted, TimeRange(day_ms, day_ms + DAY_MS), as_of_ms))


async def _days(store: Store, series: Series, span: TimeRange, as_of_ms: int, depth: Depth) -> Mapping[int, DayDigest]:
    if depth == "full":
        return {day.day_ms: day async for day in days_of(store, series, span, as_of_ms)}
    if depth == "sums":
        sums = await store.sums_by_day(series, span) if span else {}
        return {day: _day(day, one.rows, as_of_ms, one.sums) for day, one in sums.items()}
    counts = await store.count_by_day(series, span) if span else {}
    return {day: _day(day, rows, as_of_ms) for day, rows in counts.items()}


async def _rows_that_differ(store: Store, other: Store, series: Series, day: TimeRange) -> list[Fault]:
    own, theirs = [_by_time(await one.read(series, day)) for one in (store, other)]
    return [
        difference(time_ms, own.get(time_ms), theirs.get(time_ms), other.display)
        for time_ms in sorted({*own, *theirs})
        if own.get(time_ms) != theirs.get(time_ms)
    ]


def _by_time(columns: Columns) -> dict[int, Values]:
    return dict(zip(columns.open_times, zip(*columns.values, strict=True), strict=True))


def difference(time_ms: int, stored: Values | None, other: Values | None, who: str) -> Fault:
    """One candle of which two say different things."""
    if stored is None:
        return Fault(time_ms, "not_stored", f"{who} has it", stored, other)
    if other is None:
        return Fault(time_ms, "not_given", f"{who} does not have it", stored, other)
    return Fault(time_ms, "differs", f"{who} has other numbers", stored, other)


# As JSON


def as_object(report: VerifyReport) -> dict[str, Any]:
    """What --json prints."""
    return {
        "store": report.store,
        "as_of": {venue: iso(time_ms // 1000 * 1000) for venue, time_ms in report.as_of.items()},
        "depth": report.depth,
        "against": report.against,
        "series": [_series_object(one) for one in report.series],
        "exit": report.exit,
    }


def _series_object(one: Verified) -> dict[str, Any]:
    return {
        "series": str(one.series),
        "verdict": one.verdict,
        "candles": one.candles,
        "days": len(one.days),
        "compared": len(one.compared),
        "sampled": [iso(day_ms)[:10] for day_ms in one.sampled],
        "unasked": one.unasked or None,
        "mended": one.mended,
        "foreign_fields": None if one.fields is None else dict(one.fields),
        "faults_found": one.count,
        "faults": [
            {
                "time": iso(fault.time_ms),
                "what": fault.what,
                "detail": fault.detail,
                "stored": _plain(fault.stored),
                "other": _plain(fault.other),
            }
            for fault in one.faults
        ],
    }


def _plain(row: Values | None) -> list[float | None] | None:
    """A row for JSON, which has no number that is none."""
    return None if row is None else [value if isfinite(value) else None for value in row]
