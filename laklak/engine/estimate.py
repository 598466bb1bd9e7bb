"""What a plan will take: requests, weight, files and time, and what else could be asked at which price."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from laklak.archives.split import Split
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
"""What two cores stored of bulk files, with the store and the file server on the same ones, at the least."""

VenuePlans = Sequence[tuple[Feed, Sequence[SeriesPlan]]]


def estimate_of(
    report: Report, order: Order, feeds: Sequence[Feed], plans: VenuePlans, splits: Mapping[Series, Split]
) -> Estimate:
    """Say what plans take of which every missing stretch has its source; `feeds` are all venues of the run."""
    of_api = [
        (feed, [asked_of_api(feed, plan, splits[plan.series], order) for plan in own] if feed.asks_api else [])
        for feed, own in plans
    ]
    costs = [(feed, _cost(feed, own, feed.size.expected)) for feed, own in of_api]
    fastest = [_cost(feed, own, _best_page(feed)).seconds(feed.budgets()) for feed, own in of_api]
    every = [plan for _, own in plans for plan in own]
    file_candles = sum(split.candles for split in splits.values())
    return Estimate(
        store=report.store,
        start=iso(report.start_ms or 0),
        end=iso(report.end_ms or 0),
        series=report.series,
        account=replace(
            report.account,
            blocked=sum(plan.blocked_count for plan in every),
            out_of_reach=sum(plan.out_of_reach_count for plan in every),
        ),
        to_fetch=sum(plan.missing_count for plan in every),
        requests=sum(cost.requests for _, cost in costs),
        weight=sum(cost.weight for _, cost in costs),
        budget=sum(feed.budget_a_minute for feed in feeds),
        paces={feed.venue.name: feed.pace(cost) for feed, cost in costs},
        chunk=max((feed.size.expected for feed in feeds), default=0),
        seconds_estimated=round(max((cost.seconds(feed.budgets()) for feed, cost in costs), default=0.0), 1),
        seconds_auto=round(max(fastest, default=0.0), 1),
        files=sum(len(split.files) for split in splits.values()),
        file_candles=file_candles,
        file_bytes=sum(_file_bytes(feed, own, splits) for feed, own in plans),
        file_seconds=round(file_candles / FILE_CANDLES_PER_SECOND, 1),
        no_source=sum(_without_source(own, splits) for feed, own in plans if not feed.asks_api),
        at_most=any(feed.venue.trades_in_sessions and any(one.missing for one in own) for feed, own in plans),
        failed_series=tuple(report.failed),
        begun_series=report.begun_series,
        reached_series=report.reached_series,
        ended_series=tuple(report.ended),
        alternatives=[one for feed, own in of_api for one in _alternatives(feed, own)] if order.dry_run else [],
    )


def asked_of_api(feed: Feed, plan: SeriesPlan, split: Split, order: Order) -> SeriesPlan:
    """What is to be asked of the API, with what is taken along."""
    along, interval = feed.fresh.along(plan), plan.series.interval
    if order.recheck:
        return replace(plan, missing=tuple(union([*split.rest, *runs(along, interval)])))
    return replace(plan, missing=tuple(take_along(split.rest, along, interval, feed.page_of(plan.series))))


def _best_page(feed: Feed) -> int:
    """With how many candles at once it goes fastest."""
    return feed.size.expected if feed.venue.page.smaller else best_page(feed.steps)


def _cost(feed: Feed, plans: Sequence[SeriesPlan], page: int) -> Cost:
    return cost_of(plans, feed.steps, page, feed.beside, feed.venue.rows_of)


def _alternatives(feed: Feed, plans: Sequence[SeriesPlan]) -> Sequence[Alternative]:
    tiers = feed.steps
    pages = {feed.size.expected, *(limit for limit, _ in tiers[1:])}
    budgets = (feed.budget, feed.default_budget, feed.advertised)
    some = [feed.budgets(units) for units in budgets]
    return alternatives(
        feed.venue.name, (feed.size.expected, feed.budget), plans, tiers, pages, some, feed.beside, feed.venue.rows_of
    )


def _file_bytes(feed: Feed, plans: Sequence[SeriesPlan], splits: Mapping[Series, Split]) -> int:
    if feed.reader is None:
        return 0
    candles = sum(part.file.candles for plan in plans for part in splits[plan.series].files)
    return feed.reader.archive.bytes_per_candle * candles


def _without_source(plans: Sequence[SeriesPlan], splits: Mapping[Series, Split]) -> int:
    return sum(part.count(plan.series.interval) for plan in plans for part in splits[plan.series].rest)


def within_reach(feed: Feed, plan: SeriesPlan) -> SeriesPlan:
    """A plan without what neither bulk files nor the venue can give any more."""
    start_ms = feed.reach_start_ms(plan.series.interval) or feed.seen_reach.get(plan.series)
    if not start_ms or not feed.asks_api or plan.files_only or not plan.missing:
        return plan
    beyond = TimeRange(min(plan.missing[0].start_ms, start_ms), start_ms)
    lost = [part for part in (one.clip(beyond) for one in split_of(feed, plan).rest) if part]
    return replace(plan, missing=tuple(parted(plan.missing, lost)[0]), out_of_reach=tuple(lost), reach_ms=start_ms)


def split_of(feed: Feed, plan: SeriesPlan) -> Split:
    """Which source for which stretch of a plan."""
    solver = feed.solver
    if solver is None:
        return Split((), plan.missing)
    if plan.files_only:
        solver = replace(solver, preference="archive")
    return solver.split(plan.series, plan.missing)
