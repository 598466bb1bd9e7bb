"""Our part of a venue's quotas, by the settings and by what the venue advertises."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from laklak.model.series import Interval, Series, TimeRange
from laklak.plan.cost import Budget
from laklak.settings.load import VenueSettings
from laklak.settings.spec import units_of
from laklak.text import per_window
from laklak.venues import Venue
from laklak.venues.base import Asked, unlisted
from laklak.wire.quota import Share


class Spending:
    """`budget` units of the venue's first quota, out of the `advertised` ones, and a share of each other quota.

    The advertised limit is known only after asking; until then the documented one counts. `heaviest`: the cost of the
    heaviest request, for each quota.
    """

    def __init__(self, venue: Venue, settings: VenueSettings, heaviest: Mapping[str, int]) -> None:
        self._quotas = venue.quotas
        self.quota, self._window = next(iter(venue.quotas.items()))
        self._heaviest = heaviest
        self._said = settings.budget
        # A share is of the documented limit, and a venue may allow less.
        self._may_be_lowered = settings.budget_is_default or isinstance(settings.budget, str)
        self._told: Mapping[str, int] = {}
        self.advertised = self._window.units
        self.budget = units_of(settings.budget, self.advertised)

    def heard(self, told: Mapping[str, int]) -> None:
        """Take the limits that the venue advertises, by quota."""
        self._told = told
        self.advertised = told.get(self.quota) or self._window.units
        if self._said == "max" or (self._may_be_lowered and self.budget > self.advertised):
            self.budget = self.advertised

    @property
    def window_s(self) -> float:
        """The length of the first quota's window, in seconds."""
        return self._window.seconds

    @property
    def unit(self) -> str:
        """The unit of the budget: `weight a minute`."""
        return per_window(self.quota, self.window_s)

    @property
    def a_minute(self) -> int:
        """The budget in units a minute, however long the window is."""
        return round(self.budget * 60 / self.window_s)

    @property
    def by_default(self) -> int:
        """Our budget by default."""
        return self._window.ours

    def budgets(self, units: int | None = None) -> dict[str, Budget]:
        """What is spent of each quota; `units` replaces the budget of the first one."""
        first = {} if units is None else {self.quota: Budget(units, self.window_s)}
        return {name: share.budget for name, share in self.shares().items()} | first

    def shares(self, advertised: int | None = None) -> dict[str, Share]:
        """What is spent of each quota: the budget of the first one; of the others the same share, or our part.

        `advertised`: the limit of the first one, in place of what the venue has said.
        """
        window = replace(self._window, units=self.advertised if advertised is None else advertised)
        shares = {self.quota: Share(window, self.budget, self._heaviest[self.quota])}
        for name, quota in self._quotas.items():
            own = replace(quota, units=self._told.get(name) or quota.units)
            ours = own.ours if isinstance(self._said, int) else units_of(self._said, own.units)
            shares.setdefault(name, Share(own, ours, self._heaviest[name]))
        return shares


def heaviest_units(venue: Venue, interval: Interval, page: int, symbols: Sequence[str]) -> dict[str, int]:
    """The cost of a run's heaviest request, for each quota, with pages of `page` candles."""
    series = Series(venue.name, venue.example, interval)
    longest = replace(series, interval=Interval.parse([*venue.intervals][-1]))

    def asked(series: Series, candles: int) -> Asked:
        return Asked(series, unlisted(series.symbol), TimeRange(0, candles * series.interval.ms))

    described = [
        venue.candles_request(asked(series, page)),
        # The ends of a series are asked for too, or searched.
        venue.candles_request(asked(longest, page)),
        venue.first_candle_request(asked(series, 1)),
        venue.newest_candle_request(asked(series, 1)),
        venue.candles_until_request(asked(series, 2)),
        venue.clock_request(),
        *venue.listing_requests(symbols),
    ]
    costs = [request.cost for request in described if request is not None]
    return {name: max(1, *(cost.get(name, 0) for cost in costs)) for name in venue.quotas}
