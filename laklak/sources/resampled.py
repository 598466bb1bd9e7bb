"""What longer candles are to be made of which held ones, and what of them the other store lacks.  Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from laklak.errors import UsageError
from laklak.model.series import DAY_MS, Interval, Series, TimeRange
from laklak.model.spans import count, on_grid, overlap, parted, union, without
from laklak.plan.chunks import plan_chunks
from laklak.plan.longer import around, can_be_made
from laklak.report.ledger import Ledger
from laklak.sources.store import CopyJob, CopyPlan, Part
from laklak.stores.coverage import Presence
from laklak.stores.longer import Making, making_of
from laklak.text import some_of

_PART_CANDLES: Final = 250_000
"""Shorter candles of which a part is made, at most; they are read in smaller batches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResampleJob(CopyJob):
    """`intervals` to make; `series` (empty is all, of `interval` if that is given) are those of which they are made.

    Candles that open from `start_ms` to `end_ms`, or in so many `days` before the end; else as far as there are some.
    """

    intervals: tuple[Interval, ...]
    interval: Interval | None = None
    days: int | None = None
    start_ms: int | None = None
    end_ms: int | None = None

    def span_of(self, held: TimeRange, interval: Interval) -> TimeRange:
        """What is asked for of a series to make, whose shorter candles are `held`; may be empty."""
        end_ms = held.end_ms if self.end_ms is None else self.end_ms
        start_ms = end_ms - self.days * DAY_MS if self.days is not None else self.start_ms
        whole = around(held, interval)
        asked = TimeRange(
            whole.start_ms if start_ms is None else start_ms, whole.end_ms if self.end_ms is None else end_ms
        )
        return on_grid(asked.clip(whole), interval)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResamplePlan(CopyPlan):
    """`made` is stored there already: it is held against what is made of the shorter candles now."""

    made: tuple[TimeRange, ...]


def made_of(held: Collection[Series], job: ResampleJob) -> dict[Series, Series]:
    """The series to make, each with that of which it is made: of all that is stored, the shortest candles there are.

    UsageError where that is not clear, or nothing can be made of a series that was chosen.
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
        raise UsageError(
            f"no candles of {some_of([interval.name for interval in job.intervals])} can be made of "
            f"{some_of([str(one) for one in fruitless])}",
            hint="name longer intervals, which the one of the series divides",
        )
    return found


def plan_resample(
    series: Series, span: TimeRange, of: Series, source: Presence, destination: Presence, closed: Sequence[TimeRange]
) -> tuple[ResamplePlan, Making]:
    """Hold the buckets of `span` that the source has complete against what the destination has."""
    interval = series.interval
    making = making_of(of, source, span, interval)
    complete = making.buckets.complete
    not_stored = union([*destination.missing, *(one.span for one in destination.absences)])
    missing, blocked = parted(overlap(not_stored, complete), closed)
    made = overlap(without(span, not_stored), complete)
    plan = ResamplePlan(
        series=series,
        wanted=span,
        first_ms=None,
        stored=count(made, interval),
        holes=0,
        rejected=0,
        missing=tuple(missing),
        blocked=tuple(blocked),
        candles=tuple(missing),
        absences=(),
        source_missing=0,
        absent=span.count(interval) - count(complete, interval),
        not_whole=destination.not_whole,
        made=tuple(made),
    )
    return plan, making


def parts_of(ledger: Ledger, plan: ResamplePlan, of: Series) -> Iterator[Part]:
    """Cut what is to be made of a series, or made again, into parts of whole buckets, oldest first."""
    page = max(1, _PART_CANDLES * of.interval.ms // plan.series.interval.ms)
    for chunk in plan_chunks(plan.series, union([*plan.missing, *plan.made]), ((page, 1),), page):
        yield Part(ledger, chunk.range, tuple(overlap(chunk.wanted, plan.missing)), ())
