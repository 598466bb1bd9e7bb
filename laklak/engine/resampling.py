"""Longer candles made of held ones, in another store: a copy that makes its candles on the way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from laklak.engine.copy import Copy, Oddly
from laklak.engine.store_work import Closed, revisions, survey_sure
from laklak.errors import UsageError
from laklak.model.provenance import RESAMPLE, given_by
from laklak.model.series import Series, TimeRange
from laklak.plan.longer import around
from laklak.report.copied import CopySummary, ResampleSummary, incomplete_of
from laklak.report.ledger import Ledger
from laklak.report.observer import Observer
from laklak.sources.resampled import ResampleJob, made_of, parts_of, plan_resample
from laklak.sources.store import CopyPlan, Part, StoredCandles
from laklak.stores.base import Delivery, Store
from laklak.stores.coverage import take_stock
from laklak.stores.longer import Making, read_made
from laklak.stores.unconfirmed import UnsureBook
from laklak.text import some_of


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

    async def run(self) -> CopySummary:
        """See Copy; the summary is a ResampleSummary."""
        summary = await super().run()
        told = [
            incomplete_of(series, making.of, making.buckets)
            for series, making in sorted(self._making.items(), key=lambda item: str(item[0]))
            if making.buckets.lacking or making.buckets.quiet
        ]
        return replace(summary, incomplete=told) if isinstance(summary, ResampleSummary) else summary

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
        return {series: around(held[of], series.interval) for series, of in self._made_of.items()}

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
        there, here = await take_stock(source, of, span), await survey_sure(destination, unsure, series, span)
        oddly.there.add(of, there.not_whole, there.strays)
        oddly.here.add(series, here.not_whole, here.strays, here.not_whole_absent)
        plan, self._making[series] = plan_resample(series, span, of, there, here, closed.on_grid(series))
        return plan

    def _parts(self, ledger: Ledger, plan: CopyPlan) -> Iterator[Part]:
        return parts_of(ledger, plan, self._made_of[plan.series])

    async def _take(self, source: Store, destination: Store, part: Part) -> Delivery:
        plan = part.ledger.plan
        series, making = plan.series, self._making[plan.series]
        columns = await read_made(source, making, part.range, series.interval)
        candles = StoredCandles(series, columns.open_times, columns.values).only(part.candles)
        part.ledger.trouble(
            "source_changed",
            sum(one.count(series.interval) for one in part.candles) - len(candles),
            f"candles of {making.of} were deleted from {source.display} after the plan was made, or the sum of their "
            "volumes is too large for a number; run again to plan anew",
        )
        told = await revisions(destination, candles, {"repair": plan.not_whole}, RESAMPLE) if plan.not_whole else []
        given = given_by(RESAMPLE, candles.open_times, series.interval, self._started_ms)
        return Delivery(series, candles if len(candles) else None, revisions=told, provenance=given)
