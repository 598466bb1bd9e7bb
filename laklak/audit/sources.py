"""Stored candles held against what their venues say now: some days of each series, or all of them.

It is a refetch of these days by the engine, with its limiter, its sources and its rules; only to mend is it written.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil, log, log1p

from laklak.audit.verify import FAULTS_KEPT, Fault, Verified, VerifyReport, difference
from laklak.engine.run import Backfill
from laklak.model.series import DAY_MS, Interval, Series, TimeRange, iso
from laklak.plan.wanted import Asked
from laklak.report.observer import Observer
from laklak.settings.load import Settings
from laklak.settings.order import Order
from laklak.stores.refetched import Compared, Refetched
from laklak.tasks.timing import Timing
from laklak.venues import VENUES

_SURE = 0.95


@dataclass(frozen=True, slots=True)
class Sample:
    """So many of the days of a series are asked for; None is all of them."""

    days: int | None
    mend: bool = False

    def drawn(self, days: Sequence[int], chance: random.Random) -> list[int]:
        """Some of these days, rising; others every time."""
        if self.days is None or self.days >= len(days):
            return list(days)
        return sorted(chance.sample(days, self.days))


@dataclass(slots=True)
class Heard(Refetched):
    """Keeps what a source says of stored candles, by series."""

    faults: dict[Series, list[Fault]] = field(default_factory=dict)
    counts: dict[Series, int] = field(default_factory=dict)

    def add(self, series: Series, compared: Compared) -> None:
        Refetched.add(self, series, compared)
        changed = {time_ms for time_ms, _, _ in compared.changes}
        found = [difference(time_ms, old, now, series.venue) for time_ms, old, now in compared.changes]
        if compared.new:
            write = compared.write
            rows = zip(write.open_times, zip(*write.values, strict=True), strict=True)
            found += [difference(time_ms, None, row, series.venue) for time_ms, row in rows if time_ms not in changed]
        self._keep(series, found)

    def not_given(self, series: Series, open_times: Sequence[int]) -> None:
        Refetched.not_given(self, series, open_times)
        word = f"{series.venue} does not have it"
        self._keep(series, [Fault(time_ms, "not_given", word) for time_ms in open_times])

    def _keep(self, series: Series, found: Sequence[Fault]) -> None:
        kept = self.faults.setdefault(series, [])
        kept += found[: FAULTS_KEPT - len(kept)]
        self.counts[series] = self.counts.get(series, 0) + len(found)


async def ask_sources(
    report: VerifyReport,
    sample: Sample,
    settings: Settings,
    timing: Timing,
    observer: Observer,
    chance: random.Random,
) -> VerifyReport:
    """Hold days of each series against its sources; raises what keeps a run from starting."""
    found = {one.series: one for one in report.series}
    drawn: dict[Series, list[int]] = {}
    for series, one in list(found.items()):
        why = _why_not(series, settings)
        as_of_ms = report.as_of.get(series.venue, 0)
        ended = [day_ms for day_ms in one.days if day_ms + DAY_MS <= as_of_ms]
        if why:
            found[series] = replace(one, unasked=why)
        elif chosen := sample.drawn(ended, chance):
            drawn[series] = chosen
            found[series] = replace(one, askable=len(ended))
    for interval in dict.fromkeys(series.interval for series in drawn):
        of_interval = {series: days for series, days in drawn.items() if series.interval == interval}
        heard, unasked = await _run(of_interval, interval, sample, settings, timing, observer)
        for series, days in of_interval.items():
            found[series] = _with(found[series], days, heard, unasked.get(series, ""), sample)
    return replace(report, series=tuple(found[one.series] for one in report.series))


async def _run(
    drawn: Mapping[Series, Sequence[int]],
    interval: Interval,
    sample: Sample,
    settings: Settings,
    timing: Timing,
    observer: Observer,
) -> tuple[Heard, Mapping[Series, str]]:
    """Fetch these days again; what is said of their candles, and why some could not be had."""
    start_ms = min(days[0] for days in drawn.values())
    end_ms = max(days[-1] for days in drawn.values()) + DAY_MS
    order = Order(
        settings=replace(settings, interval=interval, days=None, start=iso(start_ms), end=iso(end_ms)),
        asked=[Asked(series.symbol, series.venue, typed=False, held=True) for series in drawn],
        refetch=True,
        sample={series: [TimeRange(day, day + DAY_MS) for day in days] for series, days in drawn.items()},
        untouched=not sample.mend,
        timing=timing,
    )
    heard = Heard()
    work = Backfill(order, observer, heard)
    summary = await work.run()
    why: dict[Series, str] = {series: f"{series.venue} does not know it" for series in drawn}
    for ledger in work.report.ledgers:
        failure = ledger.failure()
        reason = failure.detail if failure is not None else getattr(summary, "error", None) or "not all of it came"
        why[ledger.plan.series] = f"{ledger.missing:,} candles: {reason}" if ledger.missing else ""
    return heard, why


def _with(one: Verified, days: Sequence[int], heard: Heard, unasked: str, sample: Sample) -> Verified:
    """What was found of a series, with what its sources say; one fault a minute."""
    told = heard.faults.get(one.series, [])
    times = {fault.time_ms for fault in told}
    own = tuple(fault for fault in one.faults if not (fault.what == "not_whole" and fault.time_ms in times))
    one = replace(one, faults=own, count=one.count - (len(one.faults) - len(own)))
    mended = sum(fault.what != "not_given" for fault in told) if sample.mend and not unasked else 0
    found = one.also(told, sampled=tuple(days), unasked=unasked, mended=mended)
    more = heard.counts.get(one.series, 0) - len(told)
    return replace(found, count=found.count + more, mended=found.mended + (more if mended else 0))


def _why_not(series: Series, settings: Settings) -> str:
    venue = VENUES.get(series.venue)
    if venue is None:
        return f"there is no venue {series.venue}"
    if not settings.venues[series.venue].enabled:
        return f"{series.venue} is switched off"
    if series.interval.name not in venue.intervals_of(series.symbol):
        return f"{series.venue} has no candles of {series.interval}"
    return ""


def proof_text(report: Iterable[Verified], *, wanted: bool = False) -> str:
    """What a sample proves, as a sentence, or why there is none where one was `wanted`."""
    found = [one for one in report if one.sampled]
    asked, days = sum(len(one.sampled) for one in found), sum(one.askable for one in found)
    if not asked and wanted:
        return "no source was asked: there is no day that has ended and of which one could be"
    if not asked:
        return "no source was asked: --sample N asks for N days of each series, --sample all for every day"
    if asked == days:
        return f"sources were asked for all {days:,} days that have ended"
    faulty = days_seen(min(len(one.sampled) / one.askable for one in found), days)
    return (
        f"sources were asked for {asked:,} of {days:,} days: faults in {faulty:,} of these "
        f"({100 * faulty / days:.3g} %), wherever they lie, would have been seen with 95 %"
    )


def days_seen(share: float, days: int) -> int:
    """So many faulty days would not all have been missed, with 95 %, where of each series this share is asked at least.

    One faulty day is missed by 1 - share at most, each further one of the same series by less.
    """
    return days if share <= 0 else min(days, ceil(log(1 - _SURE) / log1p(-share))) if share < 1 else 1
