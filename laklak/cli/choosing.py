"""Which stored series a command is about, and the store that it looks into."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, NamedTuple, TypeVar

import typer

from laklak.cli.grouped import WHAT
from laklak.cli.options import settings_of, working_folder
from laklak.errors import UsageError

if TYPE_CHECKING:
    from laklak.audit.coverage import Range
    from laklak.model.series import Interval, Series
    from laklak.settings.load import Settings
    from laklak.stores.base import Store

Found = TypeVar("Found")

SeriesNames = Annotated[
    list[str] | None, typer.Argument(metavar="[SERIES]...", help="Series or symbols; else all that is stored.")
]
Stored = Annotated[
    bool, typer.Option("--stored", help="All that is stored, as without a series.", rich_help_panel=WHAT)
]
LastRunEnd = Annotated[
    str | None, typer.Option(metavar="T", help="Moment to stop before [the last run].", rich_help_panel=WHAT)
]


def chosen_series(names: Sequence[str], assets: str | None, settings: Settings, *, stored: bool) -> list[Series]:
    """The series that are typed, or those of a list; none where all that is stored is meant."""
    from laklak.model.series import Series
    from laklak.settings.assets import find_assets, read_assets
    from laklak.settings.typed import KNOWN_VENUES, SPELLED, typed_series
    from laklak.venues import VENUES

    if (assets is not None) + bool(names) + stored > 1:
        raise UsageError("series, --assets and --stored exclude each other", hint="give one")
    if assets is None:
        return [typed_series(text, settings) for text in names]
    found = find_assets(working_folder(), settings.assets, settings.config_folder)
    read = read_assets(found.path, KNOWN_VENUES, SPELLED)
    built = [one for one in read.assets if one.venue in VENUES]
    return [Series(one.venue, one.symbol, settings.interval) for one in built]


class Look(NamedTuple):
    """What a command looks at: the series that were named (none: all that is stored), of a time and an interval."""

    settings: Settings
    series: list[Series]
    wanted: Range
    interval: Interval | None


def look_of(names: Sequence[str] | None, *, stored: bool, **flags: str | None) -> Look:
    """Read the flags that all commands have which look at stored series."""
    from laklak.audit.coverage import Range

    settings = settings_of(flags)
    return Look(
        settings,
        chosen_series(names or (), flags["assets"], settings, stored=stored),
        Range(settings.days, settings.start_ms, settings.end_ms),
        settings.interval if flags["interval"] is not None else None,
    )


async def in_store(settings: Settings, work: Callable[[Store], Awaitable[Found]]) -> Found:
    """Do something in the store as it stands; it is not made."""
    from laklak.stores import open_store

    async with open_store(replace(settings.store_access.at_once, max_wait_s=1.0), create=False) as opened:
        return await work(opened)
