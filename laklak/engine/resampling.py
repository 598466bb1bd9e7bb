"""Longer candles made of held ones, in another store: a copy that makes its candles on the way."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final, cast

from anyio import to_thread

from laklak.engine.copy import Copy, Oddly
from laklak.engine.store_work import Closed, revisions, survey_sure
from laklak.errors import UsageError
from laklak.model.provenance import ARCHIVE, RESAMPLE, REST, given_by
from laklak.model.revisions import Revision
from laklak.model.series import Series, TimeRange
from laklak.model.spans import count, overlap, union
from laklak.report.copied import ResampleSummary, incomplete_of
from laklak.report.ledger import Ledger
from laklak.report.observer import Observer
from laklak.sources.resampled import ResampleJob, ResamplePlan, made_of, parts_of, plan_resample
from laklak.sources.store import CopyPlan, Part, StoredCandles
from laklak.stores.base import Delivery, Store
from laklak.stores.coverage import take_stock
from laklak.stores.longer import Making, joined, made_batches
from laklak.stores.reading import ALWAYS
from laklak.stores.refetched import compare, revisions_of
from laklak.stores.unconfirmed import UnsureBook
from laklak.text import counted, some_of

_OF_THE_VENUE: Final = (REST, ARCHIVE, "live")


class Resample(Copy):
    """One making of one job. Use once: `await Resample(job, observer).run()`."""

    verb = "resample"
    done = "resampled"
    no_source = "--store names the one to read"
    kind = ResampleSummary

    def __init__(self, job: ResampleJob, observer: Observer) -> None:
        super().__init__(job, observer)
        self._intervals = job
        self._made_of: dict[Series, Series] = {}
        self._making: dict[Series, Making] = {}
        self._planned: dict[Series, ResamplePlan] = {}
        self._others: Counter[Series] = Counter()

    @property
    def planned(self) -> list[ResamplePlan]:
        """What is to be made of each series, by name."""
        return sorted(self._planned.values(), key=lambda one: str(one.series))

    async def run(self) -> ResampleSummary:
        """See Copy."""
        summary = cast(ResampleSummary, await super().run())  # of `kind`
        for series, number in sorted(self._others.items(), key=lambda item: str(item[0])):
            if number:
                self._observer.warn(
                    f"{self.report.store} has {counted(number, 'candle')} of {series} other than they are made of "
                    f"{self._made_of[series]}, which no resample is known to have written: they stay"
                )
        told = [
            incomplete_of(series, making.of, making.buckets)
            for series, making in sorted(self._making.items(), key=lambda item: str(item[0]))
            if making.buckets.lacking or making.buckets.quiet
        ]
        return replace(summary, incomplete=told)

    def _check_two(self, source: Store, destination: Store) -> None:
        if source.identity == destination.identity:
            raise UsageError(
                f"{source.display} is the store that is read: made candles never stand among the venue's own",
                hint="name another store with --to",
            )

    async def _choose(self, source: Store) -> Mapping[Series, TimeRange]:
        held = await super()._choose(source)
        self._made_of = made_of(held, self._intervals)
        self.report.series = len(self._made_of) + len(self.report.failed)
        if held and not self._made_of:
            lengths = some_of(sorted({str(one.interval) for one in held}))
            raise UsageError(
                f"{source.display} has no candles of {self._intervals.interval}", hint=f"it has some of {lengths}"
            )
        spans = {series: self._intervals.span_of(held[of], series.interval) for series, of in self._made_of.items()}
        if spans and not any(spans.values()):
            names = some_of(sorted({str(of) for of in self._made_of.values()}))
            raise UsageError(
                f"{source.display} has no candles in this time of {names}",
                hint="laklak coverage --all says where series begin and end",
            )
        return {series: span for series, span in spans.items() if span}

    async def _plan_one(
        self,
        source: Store,
        destination: Store,
        unsure: UnsureBook,
        closed: Closed,
        oddly: Oddly,
        series: Series,
        span: TimeRange,
    ) -> CopyPlan:
        of = self._made_of[series]
        known = await destination.provenance(series, ALWAYS)
        if own := [one.source for one in known if one.source in _OF_THE_VENUE]:
            raise UsageError(
                f"{destination.display} has {series} of the venue itself ({own[0]}): made candles never stand among "
                "the venue's own",
                hint="name another store with --to",
            )
        there, here = await take_stock(source, of, span), await survey_sure(destination, unsure, series, span)
        oddly.there.add(of, there.not_whole, there.strays)
        oddly.here.add(series, here.not_whole, here.strays, here.not_whole_absent)
        plan, self._making[series] = plan_resample(series, span, of, there, here, closed.on_grid(series))
        self._planned[series] = plan
        return plan

    async def _move(self, source: Store, destination: Store, unsure: UnsureBook) -> None:
        stored = sum(count(plan.made, plan.series.interval) for plan in self._planned.values())
        if stored:
            self._observer.note(f"{counted(stored, 'candle')} stored there: held against what they are made of now")
        await super()._move(source, destination, unsure)

    def _parts(self, ledger: Ledger, plan: CopyPlan) -> Iterator[Part]:
        return parts_of(ledger, self._planned[plan.series], self._made_of[plan.series])

    async def _take(self, source: Store, destination: Store, part: Part) -> Delivery:
        plan = self._planned[part.ledger.plan.series]
        series, making = plan.series, self._making[plan.series]
        columns = await joined(made_batches(source, making, part.range, series.interval))
        made = StoredCandles(series, columns.open_times, columns.values)
        candles = made.only(part.candles)
        part.ledger.trouble(
            "source_changed",
            sum(one.count(series.interval) for one in part.candles) - len(candles),
            f"candles of {making.of} were deleted from {source.display} after the plan was made, or the sum of their "
            "volumes is too large for a number; run again to plan anew",
        )
        told = await revisions(destination, candles, {"repair": plan.not_whole}, RESAMPLE) if plan.not_whole else []
        remade = await self._remade(destination, made.only(overlap([part.range], plan.made)))
        if remade:
            both = [TimeRange(one.open_time_ms, one.open_time_ms + 1) for one in remade]
            candles, told = made.only(union([*part.candles, *both])), [*told, *remade]
        given = given_by(RESAMPLE, candles.open_times, series.interval, self._started_ms)
        corrected = frozenset(one.open_time_ms for one in remade)
        return Delivery(series, candles if len(candles) else None, (), corrected, told, given)

    async def _remade(self, destination: Store, candles: StoredCandles) -> list[Revision]:
        """Which of these, made of what is held now, differ from those that were made before and are stored there.

        Read and made again rather than looked up: what a person has changed, or what was quiet and is held by now, is
        in no book.  One that is not known to be made stays, and is told.
        """
        if not len(candles):
            return []
        series = candles.series
        span = TimeRange(candles.open_times[0], candles.open_times[-1] + 1)
        stored = await destination.read(series, span)
        compared = await to_thread.run_sync(compare, stored, candles, ())
        if not compared.changed:
            return []
        known = [one.span for one in await destination.provenance(series, span) if one.source == RESAMPLE]
        changed = revisions_of(compared, RESAMPLE, "remade", time.time_ns() // 1_000_000)
        remade = [one for one in changed if overlap([TimeRange(one.open_time_ms, one.open_time_ms + 1)], known)]
        self._others[series] += len(changed) - len(remade)
        return remade
