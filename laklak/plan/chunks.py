"""What to ask for: wanted minus stored minus known absences, cut into requests, with their price.  Pure.

    wanted   the range asked for, from the first candle of the series to its last   on the grid of the interval
    missing  the parts of it that are neither stored nor known to be absent
    chunk    one request; every chunk stands alone, so they are fetched in any order, many at a time

Page tiers are the venue's price steps, ((candles, weight), ...) rising: up to so many candles cost so much.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from laklak.model.series import Chunk, Interval, Series, TimeRange

Tiers = Sequence[tuple[int, int]]
WINDOW_S: Final = 60.0
"""The venue counts weight in windows of so many seconds."""
PACE: Final = 0.98
"""The share of a budget that is used: the rest is slack for requests that arrive late and bunched."""


def on_grid(span: TimeRange, interval: Interval) -> TimeRange:
    """From the first to the end of the last candle that opens in `span`; may be empty."""
    start_ms = interval.ceil(span.start_ms)
    return TimeRange(start_ms, max(start_ms, interval.ceil(span.end_ms)))


def newest_held(wanted: TimeRange, not_held: Sequence[TimeRange], interval: Interval) -> int | None:
    """The open_time of the newest candle of `wanted` outside of `not_held` (in order, disjoint); None if none is."""
    end_ms = wanted.end_ms
    for part in reversed(not_held):
        if part.end_ms < end_ms:
            break
        end_ms = part.start_ms
    return end_ms - interval.ms if end_ms > wanted.start_ms else None


def page_weight(candles: int, tiers: Tiers) -> int:
    """What one request for so many candles costs; ValueError above the largest page."""
    for limit, weight in tiers:
        if candles <= limit:
            return weight
    raise ValueError(f"a page holds at most {tiers[-1][0]} candles, not {candles}")


def best_page(tiers: Tiers) -> int:
    """The page size with the most candles for a weight (the larger one when two are equal)."""
    return max(tiers, key=lambda tier: (tier[0] / tier[1], tier[0]))[0]


def gaps(span: TimeRange, present: Iterable[int], interval: Interval) -> list[TimeRange]:
    """The parts of `span` without the open_times in `present`, which are on the grid and rising."""
    found = []
    at = span.start_ms
    for time in present:
        if time < at:
            continue
        if time >= span.end_ms:
            break
        if time > at:
            found.append(TimeRange(at, time))
        at = time + interval.ms
    if at < span.end_ms:
        found.append(TimeRange(at, span.end_ms))
    return found


def merge(ranges: Iterable[TimeRange]) -> list[TimeRange]:
    """Join ranges that touch; they come in order and do not overlap."""
    merged: list[TimeRange] = []
    for part in ranges:
        if merged and merged[-1].end_ms == part.start_ms:
            merged[-1] = TimeRange(merged[-1].start_ms, part.end_ms)
        else:
            merged.append(part)
    return merged


def union(ranges: Iterable[TimeRange]) -> list[TimeRange]:
    """Join ranges that come in any order and may overlap; empty ones are left out."""
    joined: list[TimeRange] = []
    for part in sorted((part for part in ranges if part), key=lambda part: part.start_ms):
        if joined and part.start_ms <= joined[-1].end_ms:
            joined[-1] = TimeRange(joined[-1].start_ms, max(joined[-1].end_ms, part.end_ms))
        else:
            joined.append(part)
    return joined


def parted(ranges: Iterable[TimeRange], closed: Sequence[TimeRange]) -> tuple[list[TimeRange], list[TimeRange]]:
    """The parts of ranges outside of the `closed` ones, and those inside; each list is in order and disjoint."""
    outside: list[TimeRange] = []
    inside: list[TimeRange] = []
    for part in ranges:
        start_ms = part.start_ms
        place = bisect_right(closed, start_ms, key=lambda other: other.end_ms)
        while place < len(closed) and closed[place].start_ms < part.end_ms:
            shut = part.clip(closed[place])
            outside.append(TimeRange(start_ms, shut.start_ms))
            inside.append(shut)
            start_ms = shut.end_ms
            place += 1
        outside.append(TimeRange(start_ms, part.end_ms))
    return [part for part in outside if part], [part for part in inside if part]


def runs(times: Iterable[int], interval: Interval) -> list[TimeRange]:
    """The open_times (rising) as ranges: neighbours on the grid become one."""
    return merge(TimeRange(time, time + interval.ms) for time in times)


def plan_chunks(series: Series, missing: Iterable[TimeRange], tiers: Tiers, page: int) -> Iterator[Chunk]:
    """Cut missing ranges (in order, disjoint) into requests of at most `page` candles.

    The chunks' `wanted` parts are exactly the missing ranges, each minute once.  Neighbouring parts share a request
    where that costs no more than asking apart: 1440 scattered minutes are two pages, not 1440 requests.
    """
    interval = series.interval
    together: list[TimeRange] = []
    for piece in _pieces(missing, page * interval.ms):
        if together:
            joined = TimeRange(together[0].start_ms, piece.end_ms)
            apart = TimeRange(together[0].start_ms, together[-1].end_ms)
            size = joined.count(interval)
            if size <= page and page_weight(size, tiers) <= page_weight(apart.count(interval), tiers) + page_weight(
                piece.count(interval), tiers
            ):
                together.append(piece)
                continue
            yield Chunk(series, apart, tuple(merge(together)))
        together = [piece]
    if together:
        yield Chunk(series, TimeRange(together[0].start_ms, together[-1].end_ms), tuple(merge(together)))


def _pieces(ranges: Iterable[TimeRange], most_ms: int) -> Iterator[TimeRange]:
    for part in ranges:
        for start_ms in range(part.start_ms, part.end_ms, most_ms):
            yield TimeRange(start_ms, min(part.end_ms, start_ms + most_ms))


def oldest_held(wanted: TimeRange, not_held: Sequence[TimeRange]) -> int | None:
    """The same for the oldest one."""
    start_ms = wanted.start_ms
    for part in not_held:
        if part.start_ms > start_ms:
            break
        start_ms = part.end_ms
    return start_ms if start_ms < wanted.end_ms else None


@dataclass(frozen=True, slots=True)
class SeriesPlan:
    """One series of a run: what is wanted, what the store has, what is to fetch.

    wanted_count = stored + holes + rejected + candles in `missing` and in `blocked`.
    """

    series: Series
    wanted: TimeRange
    first_ms: int | None
    """The open_time of the first candle of the series, where candles have shown it."""
    stored: int
    holes: int
    rejected: int
    missing: tuple[TimeRange, ...]
    known_rejected: frozenset[int] = frozenset()
    """Minutes asked again although they are remembered as rejected."""
    newest_ms: int | None = None
    """The open_time of the newest candle that is known of so far: the series has gone on until there."""
    oldest_ms: int | None = None
    """The open_time of the oldest candle of `wanted` that is known of so far."""
    asked_start_ms: int | None = None
    """Where the range that was asked for begins; `wanted` may begin later."""
    doubtful_first: bool = False
    """`wanted` begins where one answer says, and something else says that there are earlier candles."""
    blocked: tuple[TimeRange, ...] = ()
    """What is not there either, and is not asked for, since the store could not take it."""
    files_only: bool = False
    """Only bulk files have the series: nobody else is asked for what they lack."""

    @property
    def wanted_count(self) -> int:
        return self.wanted.count(self.series.interval)

    @property
    def missing_count(self) -> int:
        return sum(part.count(self.series.interval) for part in self.missing)

    @property
    def blocked_count(self) -> int:
        return sum(part.count(self.series.interval) for part in self.blocked)


@dataclass(frozen=True, slots=True)
class Cost:
    """What fetching costs: candle requests and their weight."""

    requests: int
    weight: int

    def seconds(self, budget: int) -> float:
        """How long that takes at a budget of so much weight a minute, if nothing else holds it up."""
        return self.weight / (PACE * budget / WINDOW_S)


def cost_of(plans: Iterable[SeriesPlan], tiers: Tiers, page: int) -> Cost:
    """Count the requests of all plans with pages of `page` candles."""
    requests = weight = 0
    page_costs = page_weight(page, tiers)
    for plan in plans:
        if len(plan.missing) == 1:
            # The everyday case by arithmetic: 541 series of 90 days are 140,000 chunks.
            pages, rest = divmod(plan.missing_count, page)
            requests += pages + (rest > 0)
            weight += pages * page_costs + (page_weight(rest, tiers) if rest else 0)
            continue
        for chunk in plan_chunks(plan.series, plan.missing, tiers, page):
            requests += 1
            weight += page_weight(chunk.limit, tiers)
    return Cost(requests, weight)


@dataclass(frozen=True, slots=True)
class Alternative:
    """One line of the table `chunk x budget -> time`."""

    chunk: int
    budget: int
    requests: int
    weight: int
    seconds: float


def alternatives(
    plans: Sequence[SeriesPlan], tiers: Tiers, pages: Iterable[int], budgets: Iterable[int]
) -> list[Alternative]:
    """What the same job would take with other page sizes and budgets."""
    budgets = sorted(set(budgets))
    table = []
    for page in sorted(set(pages)):
        cost = cost_of(plans, tiers, page)
        table += [
            Alternative(page, budget, cost.requests, cost.weight, round(cost.seconds(budget), 1)) for budget in budgets
        ]
    return table
