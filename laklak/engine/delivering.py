"""Prepares deliveries for the store: packed candles, and how they differ from the stored ones they replace."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol, TypeVar

from laklak.engine.store_work import revisions
from laklak.model.absences import Absence
from laklak.model.candles import Candles, Chunk
from laklak.model.provenance import REST, Source, given_by
from laklak.model.revisions import Revision, Why
from laklak.model.series import TimeRange
from laklak.model.spans import runs, union
from laklak.plan.rows import Checked
from laklak.report.ledger import Ledger
from laklak.report.progress import Report
from laklak.settings.order import Order
from laklak.stores.base import Delivery, Store
from laklak.stores.refetched import Compared, compare, revisions_of
from laklak.stores.unconfirmed import UnsureBook

Given = TypeVar("Given")
Result = TypeVar("Result")


class InThread(Protocol):
    """Runs work in one of the threads that read files."""

    async def __call__(self, work: Callable[[Given], Result], given: Given) -> Result: ...


class Deliveries:
    """Makes deliveries for one store."""

    def __init__(self, order: Order, store: Store, unsure: UnsureBook, report: Report) -> None:
        self._order = order
        self._store = store
        self._unsure = unsure
        self._report = report

    async def revisions(
        self, ledger: Ledger, candles: Candles, corrected: frozenset[int], source: Source
    ) -> Sequence[Revision]:
        """Compare candles with the stored ones they overwrite: corrected minutes, and candles that are not whole.

        Empty in a refetch, where `packed` compares.
        """
        plan = ledger.plan
        if self._report.refetched is not None or not (corrected or plan.not_whole):
            return ()
        known: dict[Why, Sequence[TimeRange]] = {
            "corrected": runs(sorted(corrected), plan.series.interval),
            "repair": plan.not_whole,
        }
        return await revisions(self._store, candles, known, source)

    async def packed(
        self, ledger: Ledger, candles: Candles, source: Source, in_thread: InThread | None = None
    ) -> tuple[Candles, Sequence[Revision]]:
        """Pack candles for `Store.write`; a refetch drops those stored alike, and returns what the others change."""
        pack = self._store.pack
        if self._report.refetched is None or not len(candles):
            return (pack(candles) if in_thread is None else await in_thread(pack, candles)), ()
        series = ledger.plan.series
        span = TimeRange(candles.open_times[0], candles.open_times[-1] + series.interval.ms)
        stored, unsure = await self._store.read(series, span, whole=False), self._unsure.of(series)

        def work(fetched: Candles) -> Compared:
            found = compare(stored, fetched, unsure)
            return replace(found, write=pack(found.write))

        compared = work(candles) if in_thread is None else await in_thread(work, candles)
        self._report.refetched.add(series, compared)
        ledger.kept += compared.same
        return compared.write, revisions_of(compared, source, "refetch", time.time_ns() // 1_000_000)

    async def of(
        self,
        ledger: Ledger,
        candles: Candles | None,
        absences: Sequence[Absence],
        corrected: frozenset[int] = frozenset(),
        changed: Sequence[Revision] = (),
        source: Source = REST,
    ) -> Delivery:
        """The delivery of a series' candles and absences."""
        if absences and self._order.refetch:
            # Where the venue now has no candle, a refetch keeps the stored one.
            span = TimeRange(absences[0].open_time_ms, max(one.span.end_ms for one in absences))
            stored = await self._store.open_times(ledger.plan.series, span)
            kept = [time for one in absences for time in stored if one.span.start_ms <= time < one.span.end_ms]
            ledger.kept += len(kept)
            if kept and self._report.refetched is not None:
                self._report.refetched.not_given(ledger.plan.series, kept)
            interval = ledger.plan.series.interval
            absences = [left for one in absences for left in one.left_by(stored, interval)]
        series = ledger.plan.series
        times = candles.open_times if candles else ()
        given = given_by(source, times, series.interval, self._report.started_ms)
        return Delivery(series, candles or None, absences, corrected, changed, given)


def with_others(
    candles: Candles, chunk: Chunk, checked: Checked, corrected: frozenset[int], found: Sequence[TimeRange] = ()
) -> Candles:
    """The candles of an answer to write: wanted ones, corrected ones, and those `found` where a hole was stored."""
    if not (corrected or found):
        return candles
    return checked.candles.only(union([*chunk.wanted, *runs(sorted(corrected), chunk.series.interval), *found]))
