"""Longer candles made of held ones, as a source: what can be made of what, and the candles."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from laklak.errors import UsageError
from laklak.model.absences import Absence
from laklak.model.series import DAY_MS, Interval, Series, TimeRange
from laklak.model.spans import count, on_grid, overlap, runs, union
from laklak.plan.chunks import plan_chunks
from laklak.plan.longer import around, can_be_made
from laklak.report.copied import ResampleSummary, incomplete_of
from laklak.report.observer import Observer
from laklak.sources.base import Given, Offer, Source, Stock, TransferPlan, Words, Work
from laklak.sources.store import StoredCandles, StoreJob, StoreSource
from laklak.stores.base import Store
from laklak.stores.coverage import take_stock
from laklak.stores.longer import Making, holes_of, joined, made_batches, making_of, without_candles
from laklak.tasks.stopping import Stopper
from laklak.text import some_of

_PART_CANDLES: Final = 250_000
"""The most shorter candles that a part is made of; they are read in smaller batches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResampleJob(StoreJob[ResampleSummary]):
    """`intervals` to make of `series`; of all series (of `interval`, if given) if that is empty.

    Candles that open from `start_ms` to `end_ms`, or in the `days` before the end; otherwise all.
    """

    intervals: tuple[Interval, ...]
    interval: Interval | None = None
    days: int | None = None
    start_ms: int | None = None
    end_ms: int | None = None

    words: ClassVar[Words] = Words(
        verb="resample",
        done="resampled",
        to="resample to",
        done_there="resampled to there",
        no_source="--store names the one to read",
        same="{} is the store that is read: made candles never stand among the venue's own",
        same_hint="name another store with --to",
        replaces="remade",
        stay="other than they are made of {}, which no resample is known to have written: they stay",
    )

    @property
    def summary(self) -> type[ResampleSummary]:
        return ResampleSummary

    def begin(self, observer: Observer, stopper: Stopper) -> Source:
        return MadeSource(self, observer)

    def span_of(self, held: TimeRange, interval: Interval) -> TimeRange:
        """The range asked for of a longer series, whose shorter candles are `held`; may be empty."""
        end_ms = held.end_ms if self.end_ms is None else self.end_ms
        start_ms = end_ms - self.days * DAY_MS if self.days is not None else self.start_ms
        whole = around(held, interval)
        asked = TimeRange(
            whole.start_ms if start_ms is None else start_ms, whole.end_ms if self.end_ms is None else end_ms
        )
        return on_grid(asked.clip(whole), interval)


class MadeSource(Source):
    """Longer candles, made on the way from what a store holds, of whole buckets alone."""

    store: Store

    def __init__(self, job: ResampleJob, observer: Observer) -> None:
        self._job = job
        self._held = StoreSource(job, observer)
        self.store = self._held.store
        self._made_of: dict[Series, Series] = {}
        self._whole: dict[Series, TimeRange] = {}
        self._making: dict[Series, Making] = {}
        self._holes: dict[Series, Mapping[int, Absence]] = {}

    async def offer(self) -> Offer:
        """See Source: the candles that open in the time asked for."""
        offer, job = await self._held.offer(), self._job
        held = offer.spans
        self._made_of = made_of(held, job)
        if held and not self._made_of:
            lengths = some_of(sorted({str(one.interval) for one in held}))
            raise UsageError(f"{self.store.display} has no candles of {job.interval}", hint=f"it has some of {lengths}")
        for series, of in self._made_of.items():
            # A bucket that has not ended, or began before the first candle, is no hole.
            length = series.interval
            self._whole[series] = TimeRange(length.ceil(held[of].start_ms), length.floor(held[of].end_ms))
        spans = {series: job.span_of(held[of], series.interval) for series, of in self._made_of.items()}
        if spans and not any(spans.values()):
            names = some_of(sorted({str(of) for of in self._made_of.values()}))
            raise UsageError(
                f"{self.store.display} has no candles in this time of {names}",
                hint="laklak coverage --all says where series begin and end",
            )
        return Offer({series: span for series, span in spans.items() if span}, offer.lacking)

    async def stock(self, series: Series, span: TimeRange) -> Stock:
        of = self._made_of[series]
        there = await take_stock(self.store, of, span)
        making = self._making[series] = making_of(of, there, span, series.interval)
        holes = holes_of(there, making, self._whole[series], series.interval)
        self._holes[series] = {one.open_time_ms: one for one in holes}
        return Stock(
            making.buckets.complete,
            absences=runs(self._holes[series], series.interval),
            stretches=without_candles(there, series.interval),
            of=of,
            not_whole=there.not_whole,
            strays=there.strays,
        )

    def work(self, plan: TransferPlan) -> Iterator[Work]:
        """Cut what is to make, or make again, of a series into parts of whole buckets, oldest first.

        Candles are made again, not looked up: no book has what a person changed, or quiet minutes that are held by now.
        """
        series = plan.series
        page = max(1, _PART_CANDLES * self._made_of[series].interval.ms // series.interval.ms)
        for chunk in plan_chunks(series, union([*plan.missing, *plan.held]), ((page, 1),), page):
            candles, absences, held = (
                tuple(overlap(chunk.wanted, parts)) for parts in (plan.candles, plan.absences, plan.held)
            )
            yield Work(series, chunk.range, candles, absences, held)

    async def get(self, work: Work) -> AsyncGenerator[Given]:
        series, making = work.series, self._making[work.series]
        columns = await joined(made_batches(self.store, making, work.range, series.interval))
        made = StoredCandles(series, columns.open_times, columns.values)
        lacking = (
            "source_changed",
            count(work.candles, series.interval) - len(made.only(work.candles)),
            f"candles of {making.of} were deleted from {self.store.display} after the plan was made, or the sum of "
            "their volumes is too large for a number; run again to plan anew",
        )
        starts = (time for part in work.absences for time in range(part.start_ms, part.end_ms, series.interval.ms))
        holes = [self._holes[series][time] for time in starts]
        yield Given(made.only(union([*work.candles, *work.held])), holes, lacking=[lacking])

    def figures(self) -> Mapping[str, Any]:
        """The buckets that are not complete."""
        making = sorted(self._making.items(), key=lambda item: str(item[0]))
        told = [incomplete_of(series, one.of, one.buckets, self._whole[series]) for series, one in making]
        return {"incomplete": [one for one in told if one.buckets or one.quiet]}


def made_of(held: Collection[Series], job: ResampleJob) -> dict[Series, Series]:
    """The series to make, each with the series it is made of: the shortest candles, if none are named.

    UsageError if that is ambiguous, or nothing can be made of a named series.
    """
    chosen = [one for one in held if job.series or job.interval in (None, one.interval)]
    found: dict[Series, Series] = {}
    fruitless: list[Series] = []
    for one in sorted(chosen, key=lambda one: (one.venue, one.symbol, one.interval.ms)):
        made = [Series(one.venue, one.symbol, longer) for longer in job.intervals if can_be_made(longer, one.interval)]
        for target in made:
            other = found.setdefault(target, one)
            if other != one and job.series:
                raise UsageError(f"{target} can be made of {other} and of {one}", hint="name one of the two")
        if not made:
            fruitless.append(one)
    if fruitless and (job.series or not found):
        raise _nothing_made_of(fruitless, job)
    return found


def _nothing_made_of(series: Collection[Series], job: ResampleJob) -> UsageError:
    longer = some_of([interval.name for interval in job.intervals])
    return UsageError(
        f"no candles of {longer} can be made of {some_of([str(one) for one in series])}",
        hint="name longer intervals, which the one of the series divides",
    )
