"""What fetching costs, and what it would cost otherwise."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from laklak.plan.chunks import Tiers, page_weight, plan_chunks
from laklak.plan.missing import SeriesPlan

WINDOW_S: Final = 60.0
"""The venue counts weight in windows of so many seconds."""


PACE: Final = 0.98
"""The share of a budget that is used: the rest is slack for requests that arrive late and bunched."""


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
