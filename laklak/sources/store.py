"""A store as a source: what is copied from it, cut into parts, and the candles on their way."""

from __future__ import annotations

import shlex
from array import array
from collections import Counter
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite, isnan
from typing import Any, ClassVar, Final

import orjson

from laklak.errors import StoreUnavailable, UsageError
from laklak.model.absences import Absence
from laklak.model.candles import CandleBatch, places
from laklak.model.series import Series, TimeRange, iso
from laklak.model.spans import count, overlap, union, without
from laklak.plan.chunks import plan_chunks
from laklak.plan.wanted import FailedSeries
from laklak.report.copied import CopySummary, Kind
from laklak.report.observer import Observer
from laklak.sources.base import Given, Offer, Source, Stock, TransferJob, TransferPlan, Words, Work
from laklak.stores import open_store, shown_store
from laklak.stores.access import StoreAccess
from laklak.stores.base import Columns, Store
from laklak.stores.coverage import Presence, take_stock
from laklak.stores.influx.lines import FIELDS
from laklak.stores.reading import ALWAYS
from laklak.tasks.stopping import Stopper
from laklak.text import mask_url, some_of

PART_MINUTES: Final = 50_000
"""The most minutes read at once: 2.4 MB, and one query to a server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreJob(TransferJob[Kind]):
    """Candles from another store; an empty `series` means all of its series."""

    source: StoreAccess
    series: tuple[Series, ...] = ()

    @property
    def source_shown(self) -> str:
        return shown_store(self.source.where)


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyJob(StoreJob[CopySummary]):
    """Copies what one store has and another lacks."""

    words: ClassVar[Words] = Words(
        verb="copy",
        done="copied",
        to="copy to",
        done_there="copied to there",
        no_source="the first one named is the source",
        same="{} cannot be copied to itself",
        same_hint="name two different stores",
    )

    @property
    def summary(self) -> type[CopySummary]:
        return CopySummary

    def begin(self, observer: Observer, stopper: Stopper) -> Source:
        return StoreSource(self, observer)


class StoreSource(Source):
    """Everything that a store knows of its series: candles, holes, rejects, and stretches without candles."""

    store: Store

    def __init__(self, job: StoreJob[Kind], observer: Observer) -> None:
        self.store = open_store(job.source, create=False)
        self._job = job
        self._observer = observer
        self._unsound: dict[Series, Unsound] = {}

    async def offer(self) -> Offer:
        words, shown, warn = self._job.words, self.store.display, self._observer.warn
        if not self.store.exists:
            raise StoreUnavailable(f"there is no store {shown} to {words.verb} from", hint=words.no_source)
        self._observer.note(f"source: {shown}: {(await self.store.describe()).holds}")
        held = await self.store.holdings()
        if not held and not self._job.series:
            warn(f"{shown} holds no series of candles: there is nothing to {words.verb}")
        chosen = self._job.series or tuple(held)
        unknown = [series for series in chosen if series not in held]
        if unknown and len(unknown) == len(chosen):
            raise UsageError(f"{shown} has no candles of {_names(unknown)}", hint=f"it has {_names(held) or 'nothing'}")
        if unknown:
            warn(f"not in the source: {_names(unknown)}")
        return Offer(
            {series: held[series] for series in chosen if series in held},
            [FailedSeries(str(series), "not_in_source", f"{shown} has none of it") for series in unknown],
        )

    async def stock(self, series: Series, span: TimeRange) -> Stock:
        there = await take_stock(self.store, series, span)
        stretches = await stretches_of(self.store, series, span, there)
        files = await self.store.bulk_files(series, span)
        return replace(stock_of(series, span, there), stretches=stretches, files=files)

    def work(self, plan: TransferPlan) -> Iterator[Work]:
        return parts_of(plan)

    async def get(self, work: Work) -> AsyncGenerator[Given]:
        store, series = self.store, work.series
        columns = Columns((), ((),) * 5)
        if work.candles:
            columns = await store.read(series, work.range, whole=False)
        absences = await store.absences(series, work.range) if work.absences else []
        known = await store.provenance(series, work.range) if work.candles else []
        revisions = await store.revisions(series, work.range) if work.candles else []
        taken = take(work, columns, absences)
        unsound = self._unsound.setdefault(series, Unsound())
        unsound.add(taken.not_whole)
        lacking: list[tuple[str, int, str]] = []
        if taken.unsound:
            words = unsound.words(series, self._job.source, store.display)
            lacking.append(("source_unsound", taken.unsound, words))
        if taken.gone:
            words = (
                f"they were deleted from {store.display} after this copy was planned; another copy counts what is there"
            )
            lacking.append(("source_changed", taken.gone, words))
        went_over = set(taken.candles.open_times) if revisions else ()
        history = [one for one in revisions if one.open_time_ms in went_over]
        yield Given(taken.candles, taken.absences, known, history, lacking)


def _names(series: Iterable[Series]) -> str:
    return some_of([str(one) for one in series])


def stock_of(series: Series, span: TimeRange, there: Presence) -> Stock:
    """What a store can give of `span`, by what it holds there."""
    absences = union(one.span for one in there.absences if not one.is_span)
    without_candles = union(one.span for one in there.absences if one.is_span)
    # What is not whole is wanted too, and named once it was read.
    missing = overlap(there.missing, without(span, there.not_whole))
    candles = without(span, union([*missing, *without_candles, *absences]))
    return Stock(candles, absences, count(missing, series.interval), strays=there.strays)


async def stretches_of(store: Store, series: Series, span: TimeRange, inside: Presence) -> list[Absence]:
    """The stretches without candles that a store knows of a series, also around `span`; `inside`: those in `span`."""
    around = (TimeRange(ALWAYS.start_ms, span.start_ms), TimeRange(span.end_ms, ALWAYS.end_ms))
    outside = [absence for part in around for absence in await store.absences(series, part)]
    return [absence for absence in (*outside, *inside.absences) if absence.is_span]


def parts_of(plan: TransferPlan) -> Iterator[Work]:
    """Cut what to copy of a series into parts, oldest first."""
    for chunk in plan_chunks(plan.series, plan.missing, ((PART_MINUTES, 1),), PART_MINUTES):
        candles, absences = overlap(chunk.wanted, plan.candles), overlap(chunk.wanted, plan.absences)
        yield Work(plan.series, chunk.range, tuple(candles), tuple(absences))


# What is on its way


@dataclass(frozen=True, slots=True, eq=False)
class StoredCandles:
    """Candles that a store gave (see laklak.model.candles.Candles): floats, turned to text only on demand.

    A float's text is the shortest that means it, with an exponent if that is short: a real 1.6.7 and a real 2.7.12 take
    `1e-8` and `1e+22` and keep exactly that double.
    """

    series: Series
    open_times: Sequence[int]
    values: tuple[Sequence[float], ...]

    @property
    def texts(self) -> tuple[Sequence[str], ...]:
        return tuple(_spelled(column) for column in self.values)

    def __len__(self) -> int:
        return len(self.open_times)

    def only(self, wanted: Sequence[TimeRange]) -> StoredCandles:
        parts = places(self.open_times, wanted)
        if parts == [slice(0, len(self))]:
            return self
        return self.at(parts)

    def at(self, parts: Sequence[slice]) -> StoredCandles:
        """The candles at these places, which are in order and disjoint."""
        return StoredCandles(
            self.series,
            _picked("q", self.open_times, parts),
            tuple(_picked("d", column, parts) for column in self.values),
        )

    def encode(self, around: Sequence[str], start: int = 0, stop: int | None = None) -> bytes:
        # A million floats take 0.1 CPU s, a third of what repr() takes; a million candles with their lines 0.7.
        values = tuple(column[start:stop] for column in self.values)
        texts = tuple(_spelled(column) for column in values)
        return CandleBatch(self.series, self.open_times[start:stop], texts, values).encode(around)


def _spelled(column: Sequence[float]) -> list[str]:
    return orjson.dumps(list(column))[1:-1].decode().split(",") if len(column) else []


def _picked(kind: str, column: Sequence[Any], parts: Sequence[slice]) -> array[Any]:
    picked: array[Any] = array(kind)
    for part in parts:
        picked.extend(column[part])
    return picked


@dataclass(slots=True)
class Unsound:
    """Rows of a source that are no whole candles: the count of each fault, and the `span` that holds them all."""

    rows: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    span: TimeRange = field(default_factory=lambda: TimeRange(0, 0))

    @classmethod
    def of(cls, candles: StoredCandles) -> Unsound:
        """The rows among `candles`, oldest first, that are no whole candles."""
        found = cls()
        for time_ms, *row in zip(candles.open_times, *candles.values, strict=True):
            faults = [
                f"no {name}" if isnan(value) else f"an infinite {name}"
                for name, value in zip(FIELDS, row, strict=True)
                if not isfinite(value)
            ]
            if faults:
                found.add(cls(1, Counter(faults), TimeRange(time_ms, time_ms + candles.series.interval.ms)))
        return found

    def add(self, other: Unsound) -> None:
        """Add the counts of `other`."""
        if other.rows:
            spans = [one for one in (self.span, other.span) if one]
            self.span = TimeRange(min(spans).start_ms, max(span.end_ms for span in spans))
            self.rows += other.rows
            self.faults.update(other.faults)

    def words(self, series: Series, source: StoreAccess, shown: str) -> str:
        """What is wrong, and what mends it; `shown` is the source for people."""
        faults = ", ".join(f"{fault} in {count:,}" for fault, count in self.faults.most_common())
        start, end = iso(self.span.start_ms), iso(self.span.end_ms)
        command = f"laklak backfill {series.venue}:{series.symbol} --interval {series.interval} --start {start}"
        where = mask_url(source.where) if "://" in source.where else source.where
        return (
            f"their rows in {shown} are no whole candles ({faults}), {start} to {end}; fetch them anew, then copy "
            f"again: {command} --end {end} --refetch --store {shlex.quote(where)}"
        )


@dataclass(frozen=True, slots=True)
class Taken:
    """What a part gave of what is wanted, and how many of its candles and absences it lacks.

    `unsound` rows lack a number or have an infinite one; `gone` ones were deleted from the source since the plan.
    """

    candles: StoredCandles
    absences: Sequence[Absence]
    not_whole: Unsound
    gone: int

    @property
    def unsound(self) -> int:
        return self.not_whole.rows


def take(work: Work, columns: Columns, absences: Iterable[Absence]) -> Taken:
    """Pick what is wanted from what the source gave for a part."""
    found = _on_grid(StoredCandles(work.series, columns.open_times, columns.values)).only(work.candles)
    candles = _sound(found)
    remembered = [one for one in absences if not one.is_span and overlap([one.span], work.absences)]
    expected = count((*work.candles, *work.absences), work.series.interval)
    return Taken(
        candles,
        remembered,
        not_whole=Unsound() if len(candles) == len(found) else Unsound.of(found),
        gone=expected - len(found) - len(remembered),
    )


def _on_grid(candles: StoredCandles) -> StoredCandles:
    step_ms = candles.series.interval.ms
    if not any(time_ms % step_ms for time_ms in candles.open_times):
        return candles
    return _keep(candles, [not time_ms % step_ms for time_ms in candles.open_times])


def _sound(candles: StoredCandles) -> StoredCandles:
    # A sum is finite only if every number in it is; finite numbers may have an infinite sum, so then check each.
    if all(isfinite(sum(column)) for column in candles.values):
        return candles
    return _keep(candles, [all(map(isfinite, row)) for row in zip(*candles.values, strict=True)])


def _keep(candles: StoredCandles, kept: Sequence[bool]) -> StoredCandles:
    return candles.at([slice(place, place + 1) for place, keep in enumerate(kept) if keep])
