"""Orders for a backfill, a copy or a check, made from the settings and the command line."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from laklak.audit.coverage import Range
from laklak.engine import Check
from laklak.engine.trading import ask_listing
from laklak.errors import AssetsError, SettingsError, UsageError
from laklak.model.findings import Finding
from laklak.model.series import Instrument, Interval, Series, iso
from laklak.plan.wanted import Asked, Every, FailedSeries
from laklak.settings.assets import find_assets, read_assets
from laklak.settings.load import Settings, check_unnamed, shown_settings
from laklak.settings.old_config import FILE_NAME as OLD_CONFIG
from laklak.settings.old_config import lines_for_dotenv
from laklak.settings.order import Order
from laklak.settings.times import parse_duration, parse_time
from laklak.settings.typed import (
    KNOWN_VENUES,
    SPELLED,
    check_venue,
    full_series,
    typed_interval,
    typed_series,
    typed_symbol,
)
from laklak.sources.candle_file import COLUMNS
from laklak.sources.imported import ImportJob
from laklak.sources.points import NS_OF
from laklak.sources.resampled import ResampleJob
from laklak.sources.store import CopyJob
from laklak.tasks.timing import Timing
from laklak.text import counted, some_of
from laklak.venues import PLANNED, VENUES
from laklak.wire.client import no_proxy_warning

TIMING: Final = Timing()
"""The waits of every order made here."""

_LINES_TOLD: Final = 8
_SWITCHED_OFF: Final = "this venue is switched off"


def order(
    symbols: Sequence[str] | None,
    settings: Settings,
    *,
    folder: Path,
    every: bool = False,
    quote: str | None = None,
    **modes: bool,
) -> Order:
    """Return the order of `settings`, `symbols` and `modes` (see Modes); without symbols the asset list names them.

    UsageError names a wrong symbol, venue or line of the list.
    """
    notes: list[str] = []
    warnings: list[str] = [doubt] if (doubt := no_proxy_warning()) else []
    if symbols is not None and not symbols:
        raise UsageError("an empty list of symbols", hint="name some, or leave them out for the asset list")
    if symbols and settings.origins["assets"].startswith("flag"):
        raise UsageError("symbols and --assets exclude each other", hint="give the symbols, or the list they are in")
    if every:
        listed = _ListedAssets((), every=_every(symbols, quote, settings))
    elif quote is not None:
        raise UsageError("--quote without --all", hint="add --all, or name the symbols that you want")
    elif symbols:
        listed = _typed(symbols, settings)
    else:
        listed = _listed(settings, folder, notes, warnings)
        if settings.origins["venue"].startswith("flag"):
            listed = _of_venue(settings.venue, listed, notes)
    listed = replace(listed, asked=_offered(listed.asked, settings, warnings))
    if lines := _old_config_lines(settings, folder):
        notes += [f"{OLD_CONFIG} names an InfluxDB; to fill that one, put into .env:", *(f"  {one}" for one in lines)]
        warnings.append(f"{_not_read(settings)}; `laklak check` gives the lines for .env")
    if settings.days is None and settings.start is None:
        raise UsageError("no range given", hint="say how far back: --days 90, or --start 2026-01-01 [--end 2026-02-01]")
    return _order(settings, listed, notes, warnings, **modes)


def copy_job(
    source: str,
    destination: str,
    series: Sequence[str] | None,
    settings: Settings,
    *,
    force: bool = False,
    within_retention: bool = False,
    other_address: bool = False,
) -> CopyJob:
    """Make the job of a copy; logins, waits and other store settings apply to both stores.

    `series` None means all. UsageError names a text that is no series.
    """
    if series is not None and not series:
        raise UsageError("an empty list of series", hint="name some, or leave them out for all that the source has")
    return CopyJob(
        source=replace(settings.store_access, where=source),
        destination=replace(settings.store_access, where=destination),
        state_dir=settings.state_dir,
        series=tuple(dict.fromkeys(typed_series(text, settings) for text in series or ())),
        force=force,
        within_retention=within_retention,
        other_address=other_address,
    )


def typed_range(settings: Settings) -> Range:
    """The typed range: the settings' range of backfills does not narrow what is written from a store."""
    given = {
        name: getattr(settings, name) if settings.origins[key].startswith("flag") else None
        for name, key in (("days", "days"), ("start_ms", "start"), ("end_ms", "end"))
    }
    return Range(**given)


def typed_minute(text: str, time: str, settings: Settings) -> tuple[Series, int]:
    """A series and the open_time of one of its candles, in ms; UsageError for a time at which none opens."""
    series, open_ms = typed_series(text, settings), parse_time(time)
    if open_ms % series.interval.ms:
        raise UsageError(
            f"no candle of {series.interval} opens at {iso(open_ms)}",
            hint=f"the one that it lies in opens at {iso(series.interval.floor(open_ms))}",
        )
    return series, open_ms


def resample_job(
    to: str,
    intervals: Sequence[str],
    series: Sequence[Series],
    settings: Settings,
    *,
    force: bool = False,
    within_retention: bool = False,
    other_address: bool = False,
) -> ResampleJob:
    """Make the job of making longer candles; UsageError names a text that is no interval."""
    if not intervals:
        raise UsageError("no interval to make is named", hint="as in: laklak resample 5m 1h --to longer.db")
    try:
        lengths = tuple(Interval.parse(word) for word in dict.fromkeys(intervals))
    except ValueError as exc:
        raise UsageError(str(exc), hint="these divide the day, as the candles of a venue do") from None
    span = typed_range(settings)
    return ResampleJob(
        source=settings.store_access,
        destination=replace(settings.store_access, where=to),
        state_dir=settings.state_dir,
        series=tuple(dict.fromkeys(series)),
        intervals=lengths,
        interval=typed_interval(settings),
        days=span.days,
        start_ms=span.start_ms,
        end_ms=span.end_ms,
        force=force,
        within_retention=within_retention,
        other_address=other_address,
    )


def import_job(
    files: Iterable[Path],
    settings: Settings,
    *,
    series: str | None = None,
    columns: Mapping[str, str] | None = None,
    precision: str = "ns",
    replace: bool = False,
    force: bool = False,
) -> ImportJob:
    """Make the job of an import; UsageError names a text that is no series, column of ours or unit."""
    if precision not in NS_OF:
        raise UsageError(f"--precision {precision} is none", hint=f"there is {', '.join(NS_OF)}")
    if columns is not None and not (set(columns) <= set(COLUMNS) and all(columns.values())):
        said = ",".join(f"{ours}={theirs}" for ours, theirs in columns.items())
        raise UsageError(
            f"--columns {said} does not say what columns are called",
            hint=f"write OURS=THEIRS,... with ours of {', '.join(COLUMNS)}: open_time=ts,volume=vol",
        )
    return ImportJob(
        files=tuple(dict.fromkeys(files)),
        destination=settings.store_access,
        state_dir=settings.state_dir,
        series=None if series is None else full_series(series),
        venue=settings.venue,
        columns={} if columns is None else columns,
        precision=precision,
        replace=replace,
        force=force,
    )


def days_of(lookback: str) -> int:
    """Round a duration up to whole days: stored candles cost no request."""
    seconds = parse_duration(lookback)
    if seconds == 0:
        raise UsageError("--lookback 0 is no time", hint="write 168h, or --days 7")
    return math.ceil(seconds / 86_400)


def check(settings: Settings, *, folder: Path) -> Check:
    """Make the check of all that a backfill with these settings needs: the asset list, the store, the venues.

    A venue chosen on the command line is checked alone; otherwise the asset list's venues are checked too.
    """
    found: list[tuple[str, Finding]] = []
    if doubt := no_proxy_warning():
        found.append(("settings", Finding("warning", doubt)))
    listed = _ListedAssets(())
    notes: list[str] = []
    warnings: list[str] = []
    try:
        listed = _listed(settings, folder, notes, warnings)
    except UsageError as exc:
        found.append(("assets", Finding.of(exc)))
    found += [("assets", Finding("ok", line.removeprefix("assets: "))) for line in notes]
    found += [("assets", Finding("warning", line)) for line in warnings]
    if hint := old_config_hint(settings, folder):
        found.append(("settings", Finding("warning", _not_read(settings), hint)))
    venues = [settings.venue] if settings.venues[settings.venue].enabled else []
    if not settings.origins["venue"].startswith("flag"):
        venues += [one.venue for one in listed.asked]
    return Check(
        _order(settings, listed), tuple(dict.fromkeys(venues)), settings=shown_settings(settings), findings=found
    )


async def venue_listing(
    venue: str, settings: Settings, tell: Callable[[str], None], expected: Iterable[str] = ()
) -> Mapping[str, Instrument]:
    """Ask a venue for its listing, twice if it lacks something `expected`; `tell` receives a line for every pause."""
    check_venue(venue)
    listing = await ask_listing(venue, Order(settings=settings, timing=TIMING), tell, frozenset(expected))
    return listing.instruments


def old_config_hint(settings: Settings, folder: Path) -> str | None:
    """How to name the InfluxDB of an older config.py; None unless a user may expect it to be the store."""
    lines = _old_config_lines(settings, folder)
    if not lines:
        return None
    return f"for the InfluxDB that {OLD_CONFIG} in this folder names, put these lines into .env: {' '.join(lines)}"


def _order(
    settings: Settings, listed: _ListedAssets, notes: Sequence[str] = (), warnings: Sequence[str] = (), **modes: bool
) -> Order:
    every = [] if listed.every is None else [listed.every.venue]
    check_unnamed(settings, {*every, *(one.venue for one in listed.asked)})
    return Order(
        settings=settings,
        asked=tuple(listed.asked),
        refused=tuple(listed.refused),
        every=listed.every,
        notes=notes,
        warnings=warnings,
        timing=TIMING,
        **modes,  # type: ignore[arg-type]  # flags of Modes, which are all that is called by name here
    )


@dataclass(frozen=True, slots=True)
class _ListedAssets:
    """The symbols an asset list asks for, and its refused lines."""

    asked: Sequence[Asked]
    refused: Sequence[FailedSeries] = ()
    every: Every | None = None


def _offered(asked: Sequence[Asked], settings: Settings, warnings: list[str]) -> Sequence[Asked]:
    """The symbols whose venue has the interval in use; others are dropped from a list, and an error if typed."""
    interval = settings.interval.name
    offered: list[Asked] = []
    lacking: list[Asked] = []
    for one in asked:
        (offered if interval in VENUES[one.venue].intervals_of(one.symbol) else lacking).append(one)
    for one in lacking:
        if one.typed or not offered:
            venue = VENUES[one.venue]
            of_symbol = f" for {one.symbol}" if interval in venue.intervals else ""
            why = f": {venue.lacks[interval]}" if interval in venue.lacks else ""
            raise SettingsError(
                f"interval {interval} is not offered by {one.venue}{of_symbol}{why}",
                hint=f"choose one of {', '.join(venue.intervals_of(one.symbol))}",
            )
    if lacking:
        shown = some_of([f"{one.venue}:{one.symbol}" for one in lacking])
        warnings.append(f"{counted(len(lacking), 'symbol')} skipped, not offered at {interval}: {shown}")
    return offered


def _typed(symbols: Sequence[str], settings: Settings) -> _ListedAssets:
    asked = [typed_symbol(text, settings.venue, settings.interval.name) for text in symbols]
    for one in asked:
        _check_enabled(one.venue, settings)
    return _ListedAssets(asked)


def _every(symbols: Sequence[str] | None, quote: str | None, settings: Settings) -> Every:
    if symbols or settings.origins["assets"].startswith("flag"):
        raise UsageError(
            f"--all and {'symbols' if symbols else '--assets'} exclude each other",
            hint="--all is all that a venue trades",
        )
    check_venue(settings.venue)
    _check_enabled(settings.venue, settings)
    return Every(settings.venue, None if quote is None else quote.strip().upper(), VENUES[settings.venue].market)


def _listed(settings: Settings, folder: Path, notes: list[str], warnings: list[str]) -> _ListedAssets:
    found = find_assets(folder, settings.assets, settings.config_folder)
    read = read_assets(found.path, KNOWN_VENUES, SPELLED)
    skipped = Counter((asset.venue, why) for asset in read.assets if (why := _why_not(asset.venue, settings)))
    built = [asset for asset in read.assets if not _why_not(asset.venue, settings)]
    of_skipped = [f"{counted(count, 'symbol')} of {venue} skipped: {why}" for (venue, why), count in skipped.items()]
    if not built:
        raise AssetsError(
            f"{read.name}: nothing is left of it: {some_of(of_skipped)}", hint=f"there is {', '.join(VENUES)}"
        )
    notes.append(f"assets: {found.words}: {counted(len(built), 'symbol')}")
    warnings += [f"{read.name}:{one.line}: left out: {one}" for one in read.bad[:_LINES_TOLD]]
    if len(read.bad) > _LINES_TOLD:
        rest = [str(one.line) for one in read.bad[_LINES_TOLD:]]
        warnings.append(f"{read.name}: left out too: line {some_of(rest)}; laklak assets check names them all")
    for (_, why), line in zip(skipped, of_skipped, strict=True):
        (notes if why == _SWITCHED_OFF else warnings).append(line)
    return _ListedAssets(
        [Asked(asset.symbol, asset.venue, typed=False, packaged=found.packaged) for asset in built],
        [FailedSeries(f"{read.name}:{one.line}", one.reason, str(one)) for one in read.bad],
    )


def _of_venue(venue: str, listed: _ListedAssets, notes: list[str]) -> _ListedAssets:
    """The lines of a list for the typed venue."""
    own = [one for one in listed.asked if one.venue == venue]
    if not own:
        there = ", ".join(sorted({one.venue for one in listed.asked}))
        raise UsageError(f"the list has no symbol of {venue}", hint=f"it has symbols of {there}; --all asks for all")
    if left := len(listed.asked) - len(own):
        notes.append(f"--venue {venue}: {counted(len(own), 'symbol')} of it, {left:,} of other venues left out")
    return replace(listed, asked=own)


def _why_not(venue: str, settings: Settings) -> str:
    """Why lines of a list for this venue are skipped; empty if they are not."""
    if venue in PLANNED:
        return "this venue is not built yet"
    if not settings.venues[venue].enabled:
        return _SWITCHED_OFF
    name = settings.interval.name
    return "" if name in VENUES[venue].intervals else f"this venue has no candles of {name}"


def _check_enabled(venue: str, settings: Settings) -> None:
    """UsageError for a typed venue that is switched off."""
    if not settings.venues[venue].enabled:
        raise UsageError(
            f"{venue} is switched off ({settings.origins[f'{venue}.enabled']})",
            hint=f"set enabled = true below [{venue}] in laklak.toml, or LAKLAK_{venue.upper()}_ENABLED=on",
        )


def _old_config_lines(settings: Settings, folder: Path) -> list[str]:
    """The lines for .env that an older config.py amounts to; none if the user has named a store."""
    return lines_for_dotenv(folder) if settings.origins["store"] == "default" else []


def _not_read(settings: Settings) -> str:
    store = os.path.abspath(settings.store)
    return f"{OLD_CONFIG} in this folder is not read, and nothing names a store: it is {store}"
