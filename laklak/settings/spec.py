"""Every setting: those of the table, and those of each venue, by dotted key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from laklak.archives import ARCHIVES
from laklak.settings.table import TABLE, Spec, budget, duration, switch, url, whole
from laklak.text import per_window
from laklak.venues import VENUES, Venue


def units_of(budget: int | str, units: int) -> int:
    """Return the units that a budget means for a quota of `units`; a number stands for itself."""
    if isinstance(budget, int):
        return budget
    return units if budget == "max" else max(1, int(units * float(budget.removesuffix("%")) / 100))


def _unit_of(venue: Venue) -> str:
    name, quota = next(iter(venue.quotas.items()))
    return per_window(name, quota.seconds)


def _venue_specs() -> dict[str, Spec]:
    specs: dict[str, Spec] = {}
    for name, venue in VENUES.items():
        page = venue.page.rows
        specs[f"{name}.url"] = Spec(parse=url, default=venue.url, help=f"where {name} is")
        specs[f"{name}.budget"] = Spec(
            parse=budget,
            default=str(next(iter(venue.quotas.values())).ours),
            help=f"{_unit_of(venue)} to spend, a share such as 50%, or max for all that the venue advertises",
        )
        specs[f"{name}.chunk"] = Spec(
            parse=whole(1, page, "auto"),
            # If all pages cost the same, the largest is the best.
            default="auto" if venue.page.smaller else str(page if len(venue.page.steps) == 1 else min(1000, page)),
            help="candles asked at once, or auto for the most candles per weight",
        )
        specs[f"{name}.firewall_wait"] = Spec(
            parse=duration,
            default=f"{venue.firewall_wait_s / 60:g}m",
            help="how long to stay away after its firewall refused us",
            unit="s",
        )
        specs[f"{name}.enabled"] = Spec(
            parse=switch, default="on", help=f"off: {name} is asked for nothing, and its lines of a list are skipped"
        )
        specs[f"{name}.optional"] = Spec(
            parse=switch,
            default="off",
            help=f"on: what fails at {name} is told and does not change the exit status",
        )
        if name in ARCHIVES:
            specs[f"{name}.archive_url"] = Spec(
                parse=url, default=ARCHIVES[name].default_url, help=f"where the bulk files of {name} are"
            )
    return specs


SPECS: Final[Mapping[str, Spec]] = {**TABLE, **_venue_specs()}
