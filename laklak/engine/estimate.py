"""What a plan will take: requests, weight, files and time; and what other settings would take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Self

from laklak.archives.split import Split
from laklak.model.account import Account
from laklak.model.series import Series, TimeRange, iso
from laklak.model.spans import parted, runs, union
from laklak.plan.chunks import best_page
from laklak.plan.cost import Alternative, Cost, alternatives, cost_of
from laklak.plan.missing import SeriesPlan
from laklak.report.progress import Report
from laklak.report.summary import Estimate
from laklak.settings.order import Order
from laklak.sources.fresh import take_along
from laklak.sources.venue import Feed

FILE_CANDLES_PER_SECOND: Final = 100_000
"""Candles per second: the least that two cores stored from files, with store and file server beside."""

VenuePlans = Sequence[tuple[Feed, Sequence[SeriesPlan]]]


@dataclass(frozen=True, slots=True)
class _FromApi:
    """What one venue's API is asked for, and the cost."""

    feed: Feed
    asked: Sequence[SeriesPlan]
    cost: Cost

    @classmethod
    def of(cls, feed: Feed, plans: Sequence[SeriesPlan], splits: Mapping[Series, Split], order: Order) -> Self:
        asked = [asked_of_api(feed, plan, splits[plan.series], order) for plan in plans] if feed.asks_api else []
        return cls(feed, asked, _cost(feed, asked, feed.size.expected))

    @property
    def seconds(self) -> float:
        return self.cost.seconds(self.feed.spending.budgets())

    @property
    def least_seconds(self) -> float:
        """The time with the fastest page size."""
        return _cost(self.feed, self.asked, _best_page(self.feed)).seconds(self.feed.spending.budgets())

    @property
    def alternatives(self) -> Sequence[Alternative]:
        feed, tiers = self.feed, self.feed.steps
        pages = {feed.size.expected, *(limit for limit, _ in tiers[1:])}
        spending = feed.spending
        some = [spending.budgets(units) for units in (spending.budget, spending.by_default, spending.advertised)]
        now = (feed.size.expected, spending.budget)
        return alternatives(feed.name, now, self.asked, tiers, pages, some, feed.beside, feed.venue.rows_of)


@dataclass(frozen=True, slots=True)
class _FromFiles:
    """What bulk files give; `bytes` is a guess."""

    files: int
    candles: int
    bytes: int

    @classmethod
    def of(cls, plans: VenuePlans, splits: Mapping[Series, Split]) -> Self:
        return cls(
            sum(len(split.files) for split in splits.values()),
            sum(split.candles for split in splits.values()),
            sum(_file_bytes(feed, own, splits) for feed, own in plans),
        )


def estimate_of(
    report: Report, order: Order, feeds: Sequence[Feed], plans: VenuePlans, splits: Mapping[Series, Split]
) -> Estimate:
    """The estimate for plans whose missing ranges all have a source; `feeds` are all venues of the run."""
    parts = [_FromApi.of(feed, own, splits, order) for feed, own in plans]
    files = _FromFiles.of(plans, splits)
    every = [plan for _, own in plans for plan in own]
    return Estimate(
        store=report.store,
        start=iso(report.start_ms or 0),
        end=iso(report.end_ms or 0),
        series=report.series,
        account=_account(report, every),
        to_fetch=sum(plan.missing_count for plan in every),
        requests=sum(part.cost.requests for part in parts),
        weight=sum(part.cost.weight for part in parts),
        budget=sum(feed.spending.a_minute for feed in feeds),
        paces={part.feed.name: part.feed.pace(part.cost) for part in parts},
        chunk=max((feed.size.expected for feed in feeds), default=0),
        seconds_estimated=round(max((part.seconds for part in parts), default=0.0), 1),
        seconds_auto=round(max((part.least_seconds for part in parts), default=0.0), 1),
        files=files.files,
        file_candles=files.candles,
        file_bytes=files.bytes,
        file_seconds=round(files.candles / FILE_CANDLES_PER_SECOND, 1),
        no_source=_without_source(plans, splits),
        at_most=_may_be_closed(plans),
        failed_series=tuple(report.failed),
        begun_series=report.begun_series,
        reached_series=report.reached_series,
        ended_series=tuple(report.ended),
        alternatives=_alternatives(parts) if order.dry_run else [],
    )


def _account(report: Report, plans: Sequence[SeriesPlan]) -> Account:
    return replace(
        report.account,
        blocked=sum(plan.blocked_count for plan in plans),
        out_of_reach=sum(plan.out_of_reach_count for plan in plans),
    )


def asked_of_api(feed: Feed, plan: SeriesPlan, split: Split, order: Order) -> SeriesPlan:
    """What the API is asked for, with the candles taken along."""
    along, interval = feed.fresh.along(plan), plan.series.interval
    if order.recheck:
        return replace(plan, missing=tuple(union([*split.rest, *runs(along, interval)])))
    return replace(plan, missing=tuple(take_along(split.rest, along, interval, feed.page_of(plan.series))))


def _best_page(feed: Feed) -> int:
    """The fastest page size, in candles."""
    return feed.size.expected if feed.venue.page.smaller else best_page(feed.steps)


def _cost(feed: Feed, plans: Sequence[SeriesPlan], page: int) -> Cost:
    return cost_of(plans, feed.steps, page, feed.beside, feed.venue.rows_of)


def _alternatives(parts: Sequence[_FromApi]) -> Sequence[Alternative]:
    return [one for part in parts for one in part.alternatives]


def _file_bytes(feed: Feed, plans: Sequence[SeriesPlan], splits: Mapping[Series, Split]) -> int:
    if feed.reader is None:
        return 0
    candles = sum(part.file.candles for plan in plans for part in splits[plan.series].files)
    return feed.reader.archive.bytes_per_candle * candles


def _without_source(plans: VenuePlans, splits: Mapping[Series, Split]) -> int:
    """The candles that neither files give nor an API that may be asked."""
    left = [plan for feed, own in plans for plan in own if not feed.asks_api]
    return sum(part.count(plan.series.interval) for plan in left for part in splits[plan.series].rest)


def _may_be_closed(plans: VenuePlans) -> bool:
    """Whether missing time may turn out closed, which only answers tell."""
    return any(feed.venue.trades_in_sessions and any(one.missing for one in own) for feed, own in plans)


def within_reach(feed: Feed, plan: SeriesPlan) -> SeriesPlan:
    """A plan without what neither bulk files nor the venue can give any more."""
    start_ms = feed.reach_start_ms(plan.series.interval) or feed.seen_reach.get(plan.series)
    if not start_ms or not feed.asks_api or plan.files_only or not plan.missing:
        return plan
    beyond = TimeRange(min(plan.missing[0].start_ms, start_ms), start_ms)
    lost = [part for part in (one.clip(beyond) for one in split_of(feed, plan).rest) if part]
    return replace(plan, missing=tuple(parted(plan.missing, lost)[0]), out_of_reach=tuple(lost), reach_ms=start_ms)


def split_of(feed: Feed, plan: SeriesPlan) -> Split:
    """Which source for which range of a plan."""
    solver = feed.solver
    if solver is None:
        return Split((), plan.missing)
    if plan.files_only:
        solver = replace(solver, preference="archive")
    return solver.split(plan.series, plan.missing)
