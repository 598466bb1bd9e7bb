"""What fetching costs, and what it would cost otherwise."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from laklak.model.series import Series
from laklak.plan.chunks import Tiers, page_weight, plan_chunks
from laklak.plan.missing import SeriesPlan

PACE: Final = 0.98
"""The share of a budget that we use: the rest is slack for requests that arrive late and bunched."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What we may spend of one quota: `units` in any `seconds`."""

    units: int
    seconds: float

    @property
    def units_a_second(self) -> float:
        """The pace of spending."""
        return PACE * self.units / self.seconds


@dataclass(frozen=True, slots=True)
class Cost:
    """What fetching costs: candle requests, their weight in the venue's first quota, and units of others by name."""

    requests: int
    weight: int
    beside: Mapping[str, int] = field(default_factory=dict)

    def seconds(self, budgets: Mapping[str, Budget]) -> float:
        """How long that takes at the venue's `budgets` (its first quota first) if nothing else delays it.

        The slowest quota counts.
        """
        first, *others = budgets.items()
        slowest = [self.weight / first[1].units_a_second]
        slowest += [self.beside.get(name, 0) / budget.units_a_second for name, budget in others]
        return max(slowest)


def cost_of(
    plans: Iterable[SeriesPlan],
    tiers: Tiers,
    page: int,
    beside: Mapping[str, int] | None = None,
    rows_of: Callable[[Series], int] | None = None,
) -> Cost:
    """Count the requests of all plans with pages of `page` candles; each costs units of other quotas `beside`.

    `rows_of`: the candles of a series that come at once, if fewer than a page.
    """
    requests = weight = 0
    most = page
    for plan in plans:
        page = most if rows_of is None else min(most, rows_of(plan.series))
        if len(plan.missing) == 1:
            # The everyday case by arithmetic: 541 series of 90 days are 140,000 chunks.
            pages, rest = divmod(plan.missing_count, page)
            requests += pages + (rest > 0)
            weight += pages * page_weight(page, tiers) + (page_weight(rest, tiers) if rest else 0)
            continue
        for chunk in plan_chunks(plan.series, plan.missing, tiers, page):
            requests += 1
            weight += page_weight(chunk.limit, tiers)
    return Cost(requests, weight, {name: requests * units for name, units in (beside or {}).items()})


@dataclass(frozen=True, slots=True)
class Alternative:
    """One line of a venue's table `chunk x budget -> time`; `now`: the line that the run would use."""

    venue: str
    chunk: int
    budget: int
    requests: int
    weight: int
    seconds: float
    now: bool


def alternatives(
    venue: str,
    now: tuple[int, int],
    plans: Sequence[SeriesPlan],
    tiers: Tiers,
    pages: Iterable[int],
    budgets: Iterable[Mapping[str, Budget]],
    beside: Mapping[str, int] | None = None,
    rows_of: Callable[[Series], int] | None = None,
) -> list[Alternative]:
    """What a venue's part would take with other page sizes and budgets; a line names the first quota's budget.

    `now`: the page and the budget that the run would use.
    """
    by_first = {next(iter(some.values())).units: some for some in budgets}
    table = []
    for page in sorted(set(pages)):
        cost = cost_of(plans, tiers, page, beside, rows_of)
        table += [
            Alternative(
                venue, page, units, cost.requests, cost.weight, round(cost.seconds(some), 1), (page, units) == now
            )
            for units, some in sorted(by_first.items())
        ]
    return table
