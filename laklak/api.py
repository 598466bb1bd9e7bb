"""What a program calls: the same words as the command line, and nothing printed."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from laklak.assets import Spelled, find_assets, read_assets
from laklak.connection import no_proxy_warning
from laklak.copying import CopyJob, CopyReport, CopySummary
from laklak.engine import Backfill, Check, Copy
from laklak.engine.trading import ask_listing
from laklak.errors import AssetsError, StoreUnavailable, UnknownSeries, UsageError
from laklak.findings import Finding
from laklak.job import Job
from laklak.logfile import open_log
from laklak.model import Instrument, Interval, Series, StoreAccess, TimeRange, check_symbol
from laklak.old_config import FILE_NAME as OLD_CONFIG
from laklak.old_config import lines_for_dotenv
from laklak.report import Estimate, Progress, Report, Summary
from laklak.resolve import Asked, Every, FailedSeries
from laklak.settings import Settings, load_settings, shown_settings
from laklak.spelling import SpotSpelling, known_venue, one_word_symbol, parts_of
from laklak.stores import open_store
from laklak.stores.base import Columns, Store
from laklak.text import counted, nearest, some_of
from laklak.times import parse_time
from laklak.venues import PLANNED, VENUES
from laklak.wording import progress_of

if TYPE_CHECKING:
    import polars

Moment = str | date | datetime
ALWAYS: Final = TimeRange(-(1 << 62), 1 << 62)
KNOWN_VENUES: Final = frozenset({*VENUES, *PLANNED})
"""The venues that a list may name."""
SPELLED: Final[Spelled] = {name: one_word_symbol for name, venue in VENUES.items() if venue.one_word_symbols}
_LINES_TOLD: Final = 8
_FUTURES: Final = "futures are what is filled here"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Order:
    """A job and what its user should know before it starts."""

    job: Job
    notes: Sequence[str] = ()
    warnings: Sequence[str] = ()


@dataclass(slots=True)
class Silent:
    """An observer that keeps warnings and says nothing, but how far it is to `told`.

    A callback that fails costs the callback, not the run.
    """

    told: Callable[[Progress], object] | None = None
    warnings: list[str] = field(default_factory=list)

    def note(self, line: str) -> None: ...

    def warn(self, line: str) -> None:
        self.warnings.append(line)

    def planned(self, estimate: Estimate) -> None: ...

    def progress(self, report: Report) -> None:
        if self.told is None:
            return
        try:
            self.told(progress_of(report))
        except Exception:
            log.exception("progress is told no more: the callback failed")
            self.told = None

    def planned_copy(self, report: CopyReport) -> None: ...

    def copying(self, report: CopyReport) -> None:
        self.progress(report)


def order(
    symbols: Sequence[str] | None,
    settings: Settings,
    *,
    folder: Path,
    every: bool = False,
    quote: str | None = None,
    refetch: bool = False,
    recheck: bool = False,
    force: bool = False,
    dry_run: bool = False,
    within_retention: bool = False,
    other_address: bool = False,
    forget_ban: bool = False,
) -> Order:
    """Make the job that `settings` and `symbols` ask for; without symbols the asset list says which.

    UsageError names a symbol, a venue or a line of the list that is wrong.
    """
    notes: list[str] = []
    warnings: list[str] = [doubt] if (doubt := no_proxy_warning()) else []
    if symbols is not None and not symbols:
        raise UsageError("an empty list of symbols", hint="name some, or leave them out for the asset list")
    if symbols and settings.origins["assets"].startswith("flag"):
        raise UsageError("symbols and --assets exclude each other", hint="give the symbols, or the list they are in")
    if every:
        listed = _Listed((), every=_every(symbols, quote, settings))
    elif quote is not None:
        raise UsageError("--quote without --all", hint="add --all, or name the symbols that you want")
    elif symbols:
        listed = _Listed([typed_symbol(text, settings.venue, settings.interval) for text in symbols])
    else:
        listed = _listed(settings, folder, notes, warnings)
    if lines := _old_config_lines(settings, folder):
        notes += [f"{OLD_CONFIG} names an InfluxDB; to fill that one, put into .env:", *(f"  {one}" for one in lines)]
        warnings.append(f"{_not_read(settings)}; `laklak check` gives the lines for .env")
    if settings.days is None and settings.start is None:
        raise UsageError("no range given", hint="say how far back: --days 90, or --start 2026-01-01 [--end 2026-02-01]")
    job = _job(
        settings,
        listed,
        refetch=refetch,
        recheck=recheck,
        force=force,
        dry_run=dry_run,
        within_retention=within_retention,
        other_address=other_address,
        forget_ban=forget_ban,
    )
    return Order(job, notes, warnings)


def _job(settings: Settings, listed: _Listed, **modes: bool) -> Job:
    return Job(
        store=settings.store_access,
        asked=tuple(listed.asked),
        refused=tuple(listed.refused),
        every=listed.every,
        interval=Interval.parse(settings.interval),
        days=settings.days,
        start_ms=None if settings.start is None else parse_time(settings.start),
        end_ms=None if settings.end is None else parse_time(settings.end),
        venues=settings.venues,
        source=settings.source,
        workers=settings.workers,
        archive_connections=settings.archive_connections,
        archive_files=settings.archive_files,
        batch_size=settings.batch_size,
        in_flight=settings.in_flight,
        max_wait_s=settings.max_wait_s,
        start_wait_s=settings.start_wait_s,
        settle_s=settings.settle_s,
        state_dir=settings.state_dir,
        **modes,
    )


def check(settings: Settings, *, folder: Path) -> Check:
    """Make the look at all that a backfill with these settings needs: the asset list, the store, the venues.

    A venue that was chosen on the command line is looked at alone, else also those of the asset list.
    """
    found: list[tuple[str, Finding]] = []
    if doubt := no_proxy_warning():
        found.append(("settings", Finding("warning", doubt)))
    listed = _Listed(())
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
    venues = [settings.venue]
    if not settings.origins["venue"].startswith("flag"):
        venues += [one.venue for one in listed.asked]
    return Check(
        _job(settings, listed), tuple(dict.fromkeys(venues)), settings=shown_settings(settings), findings=found
    )


def _old_config_lines(settings: Settings, folder: Path) -> list[str]:
    """The lines for .env that config.py of older scripts is worth, where nothing has named a store."""
    return lines_for_dotenv(folder) if settings.origins["store"] == "default" else []


def old_config_hint(settings: Settings, folder: Path) -> str | None:
    """What to do where somebody may expect the store of config.py of older scripts; None where nobody does."""
    lines = _old_config_lines(settings, folder)
    if not lines:
        return None
    return f"for the InfluxDB that {OLD_CONFIG} in this folder names, put these lines into .env: {' '.join(lines)}"


def _not_read(settings: Settings) -> str:
    store = os.path.abspath(settings.store)
    return f"{OLD_CONFIG} in this folder is not read, and nothing names a store: it is {store}"


def typed_symbol(text: str, venue: str, interval: str) -> Asked:
    """Read `SYMBOL`, `VENUE:SYMBOL` or a series of the interval in use, as typed by hand."""
    named, symbol, of_interval = parts_of(text)
    if of_interval is not None and of_interval != interval:
        raise UsageError(f"{text} names another interval than {interval}", hint=f"use --interval {of_interval}")
    try:
        if named is not None:
            venue = known_venue(named, symbol, KNOWN_VENUES)
        _check_venue(venue)
        if hint := _hint_of_symbol(symbol):
            raise UsageError(f"{symbol} is no symbol", hint=hint)
        return Asked(SPELLED.get(venue, check_symbol)(symbol), venue, typed=True)
    except SpotSpelling as exc:
        raise UsageError(f"{exc}; {_FUTURES}", hint=exc.hint) from None
    except ValueError as exc:
        raise UsageError(str(exc), hint="write a symbol as the venue does, like BTCUSDT or binance:BTCUSDT") from None


def _check_venue(venue: str) -> None:
    if venue in VENUES:
        return
    if venue in PLANNED:
        raise UsageError(f"venue {venue} is not built yet", hint=f"there is {', '.join(VENUES)}")
    guess = nearest(venue, [*VENUES, *PLANNED])
    known = f"there is {', '.join(VENUES)}"
    raise UsageError(f"unknown venue {venue!r}", hint=f"did you mean {guess}? {known}" if guess else known)


def full_series(text: str) -> Series:
    """Read a series like `binance:BTCUSDT:1m`; UsageError for what is none."""
    venue, symbol, interval = parts_of(text)
    try:
        if not venue or not symbol or not interval:
            return Series.parse(text)
        venue = known_venue(venue, symbol, KNOWN_VENUES)
        return Series(venue, SPELLED.get(venue, check_symbol)(symbol), Interval.parse(interval))
    except SpotSpelling as exc:
        raise UsageError(f"{exc}; {_FUTURES}", hint=exc.hint) from None
    except ValueError as exc:
        raise UsageError(str(exc), hint="write venue:symbol:interval, as in binance:BTCUSDT:1m") from None


def typed_series(text: str, settings: Settings) -> Series:
    """Read a series like `binance:BTCUSDT:1m`, or a symbol: then venue and interval are those of the settings."""
    venue, _, interval = parts_of(text)
    if venue is not None and interval is not None:
        series = full_series(text)
        _check_venue(series.venue)
        return series
    asked = typed_symbol(text, settings.venue, interval or settings.interval)
    return Series(asked.venue, asked.symbol, Interval.parse(interval or settings.interval))


def _hint_of_symbol(text: str) -> str | None:
    """What somebody may have meant who typed what is no symbol of any venue."""
    if "," in text:
        return "separate symbols with spaces"
    if text.endswith((".txt", ".csv")):
        return f"a list of symbols is given with --assets {text}"
    return None


@dataclass(frozen=True, slots=True)
class _Listed:
    """What the asset list in use asks for, and what of it is left out."""

    asked: Sequence[Asked]
    refused: Sequence[FailedSeries] = ()
    every: Every | None = None


def _every(symbols: Sequence[str] | None, quote: str | None, settings: Settings) -> Every:
    if symbols or settings.origins["assets"].startswith("flag"):
        raise UsageError(
            f"--all and {'symbols' if symbols else '--assets'} exclude each other",
            hint="--all is all that a venue trades",
        )
    _check_venue(settings.venue)
    return Every(settings.venue, None if quote is None else quote.strip().upper())


def _listed(settings: Settings, folder: Path, notes: list[str], warnings: list[str]) -> _Listed:
    found = find_assets(folder, settings.assets, settings.config_folder)
    read = read_assets(found.path, KNOWN_VENUES, SPELLED)
    built = [asset for asset in read.assets if asset.venue in VENUES]
    planned = Counter(asset.venue for asset in read.assets if asset.venue in PLANNED)
    if not built:
        of_planned = [f"{counted(count, 'symbol')} of {venue}" for venue, count in planned.items()]
        raise AssetsError(
            f"{read.name}: nothing is left of it: {some_of(of_planned)} wait for venues that are not built yet",
            hint=f"there is {', '.join(VENUES)}",
        )
    notes.append(f"assets: {found.words}: {len(built):,} symbols")
    warnings += [f"{read.name}:{one.line}: left out: {one}" for one in read.bad[:_LINES_TOLD]]
    if len(read.bad) > _LINES_TOLD:
        rest = [str(one.line) for one in read.bad[_LINES_TOLD:]]
        warnings.append(f"{read.name}: left out too: line {some_of(rest)}; laklak assets check names them all")
    for venue, count in planned.items():
        warnings.append(f"{counted(count, 'symbol')} of {venue} skipped: this venue is not built yet")
    return _Listed(
        [Asked(asset.symbol, asset.venue, typed=False, packaged=found.packaged) for asset in built],
        [FailedSeries(f"{read.name}:{one.line}", one.reason, str(one)) for one in read.bad],
    )


async def venue_listing(
    venue: str, settings: Settings, tell: Callable[[str], None], expected: Iterable[str] = ()
) -> Mapping[str, Instrument]:
    """Ask a venue what it lists, once more where it lacks something `expected`; `tell` is told of its pauses."""
    _check_venue(venue)
    listing = await ask_listing(venue, _job(settings, _Listed(())), tell, frozenset(expected))
    return listing.instruments


async def backfill(
    symbols: str | Iterable[str] | None = None,
    *,
    all: bool = False,
    quote: str | None = None,
    assets: str | os.PathLike[str] | None = None,
    venue: str | None = None,
    interval: str | None = None,
    days: int | None = None,
    start: Moment | None = None,
    end: Moment | None = None,
    store: str | os.PathLike[str] | None = None,
    budget: int | str | None = None,
    chunk: int | str | None = None,
    dry_run: bool = False,
    config: str | os.PathLike[str] | None = None,
    max_wait: str | float | None = None,
    refetch: bool = False,
    recheck: bool = False,
    force: bool = False,
    within_retention: bool = False,
    other_address: bool = False,
    forget_ban: bool = False,
    log_file: str | os.PathLike[str] | None = None,
    source: str | None = None,
    archive_connections: int | None = None,
    workers: int | None = None,
    batch_size: int | None = None,
    progress: Callable[[Progress], object] | None = None,
) -> Summary | Estimate:
    """Fill a store, as `laklak backfill` does with flags of the same names, and give the summary.

    A log is kept only where `log_file` names one; what else the command line shows and prints has no flag here.
    `progress` is called twice a second while candles come, and once at the end, with a Progress; it must not take long.
    With `dry_run` an Estimate, and nothing is fetched or stored.  Settings that are not given come from the
    environment, .env and laklak.toml of the working folder.  Raises LaklakError when the run cannot start; once it
    fetches, trouble is in the summary (`exit`, `missing`, `failed_series`, `error`).
    """
    flags: Mapping[str, Any] = {
        "assets": assets,
        "venue": venue,
        "interval": interval,
        "days": days,
        "start": start,
        "end": end,
        "store": store,
        "budget": budget,
        "chunk": chunk,
        "config": config,
        "max_wait": max_wait,
        "source": source,
        "archive_connections": archive_connections,
        "workers": workers,
        "batch_size": batch_size,
    }
    folder = Path.cwd()
    settings = load_settings(flags, environment=os.environ, folder=folder)
    if log_file is not None:
        open_log(os.fspath(log_file), verbose=False)
    names = [symbols] if isinstance(symbols, str) else list(symbols) if symbols is not None else None
    ordered = order(
        names,
        settings,
        folder=folder,
        every=all,
        quote=quote,
        refetch=refetch,
        recheck=recheck,
        force=force,
        dry_run=dry_run,
        within_retention=within_retention,
        other_address=other_address,
        forget_ban=forget_ban,
    )
    observer = Silent(progress)
    work = Backfill(ordered.job, observer)
    outcome = await work.run()
    if not dry_run:
        observer.progress(work.report)
    return outcome


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
    """Make the job of a copy; logins, waiting and what else `settings` say about stores count for both.

    `series` None is all of them. UsageError names one that is none.
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


async def copy(
    source: str | os.PathLike[str],
    destination: str | os.PathLike[str],
    series: str | Iterable[str] | None = None,
    *,
    config: str | os.PathLike[str] | None = None,
    max_wait: str | float | None = None,
    force: bool = False,
    within_retention: bool = False,
    other_address: bool = False,
    log_file: str | os.PathLike[str] | None = None,
    progress: Callable[[Progress], object] | None = None,
) -> CopySummary:
    """Copy what `source` has and `destination` lacks, as `laklak copy` does, and give the summary.

    `series` as in `binance:BTCUSDT:1m`, one or several; all of them when it is left out. Here, unlike on the
    command line, the addresses of servers may hold passwords. `progress` as for backfill. Raises LaklakError when
    the copy cannot start; once candles move, trouble is in the summary (`exit`, `missing`, `failed_series`,
    `error`).
    """
    settings = load_settings({"config": config, "max_wait": max_wait}, environment=os.environ, folder=Path.cwd())
    if log_file is not None:
        open_log(os.fspath(log_file), verbose=False)
    names = [series] if isinstance(series, str) else list(series) if series is not None else None
    job = copy_job(
        os.fspath(source),
        os.fspath(destination),
        names,
        settings,
        force=force,
        within_retention=within_retention,
        other_address=other_address,
    )
    observer = Silent(progress)
    work = Copy(job, observer)
    summary = await work.run()
    observer.progress(work.report)
    return summary


async def aread_candles(
    store: str | os.PathLike[str],
    series: str,
    start: Moment | None = None,
    end: Moment | None = None,
    *,
    last: int | None = None,
) -> polars.DataFrame:
    """Read stored candles: open_time (Datetime ms UTC), open, high, low, close, volume (Float64), sorted.

    Whole candles only: a row or point without five finite numbers, or off the grid of the interval, is left out.
    `series` as in `binance:BTCUSDT:1m`, or a symbol: then venue and interval are those of the settings. `start` is
    inclusive, `end` exclusive; `last` keeps the newest so many. No row where the series has none in that time.
    Raises UsageError for a bad series or time, UnknownSeries for one that the store does not have, StoreError when the
    store cannot be read.
    """
    import polars

    where = os.fspath(store)
    settings = load_settings({}, environment=os.environ, folder=Path.cwd()) if _needs_settings(where, series) else None
    access = replace(settings.store_access, where=where) if settings else StoreAccess(where=where)
    wanted = typed_series(series, settings) if settings else full_series(series)
    span = TimeRange(_moment_ms(start, ALWAYS.start_ms), _moment_ms(end, ALWAYS.end_ms))
    columns = await stored_candles(access, wanted, span, last=last)
    names = ("open", "high", "low", "close", "volume")
    return polars.DataFrame(
        {
            "open_time": polars.Series(columns.open_times, dtype=polars.Int64).cast(polars.Datetime("ms", "UTC")),
            **{
                name: polars.Series(values, dtype=polars.Float64)
                for name, values in zip(names, columns.values, strict=True)
            },
        }
    )


def _needs_settings(where: str, series: str) -> bool:
    """Whether something is to be read that the environment, .env and laklak.toml say: about a server, or a series."""
    venue, _, interval = parts_of(series)
    return "://" in where or venue is None or interval is None


async def stored_candles(
    store: StoreAccess,
    series: Series,
    span: TimeRange = ALWAYS,
    *,
    first: int | None = None,
    last: int | None = None,
) -> Columns:
    """Read the columns of a series from an existing store, of the oldest `first` or the newest `last` candles.

    StoreUnavailable when there is none, UnknownSeries when it does not have the series; none in `span` is no error.
    """
    # Whoever reads waits for the answer: nothing is waited for that may come up one day.
    async with open_store(replace(store, refusal_wait_s=0.0), create=False) as opened:
        if not opened.exists:
            raise StoreUnavailable(
                f"there is no store {opened.display}",
                hint="name an existing one with --store, or fill it: laklak backfill",
            )
        if first is not None:
            return await _oldest(opened, series, span, first)
        columns = await opened.read(series, span, last=last)
        if not columns.open_times:
            await _held(opened, series)
        return columns


async def _oldest(store: Store, series: Series, span: TimeRange, count: int) -> Columns:
    """The oldest `count` candles in `span`: little by little, since a series may have millions."""
    part = (await _held(store, series)).clip(span)
    found = Columns((), ((),) * 5)
    step_ms = count * series.interval.ms
    end_ms = part.start_ms
    while len(found.open_times) < count and end_ms < part.end_ms:
        # Where candles are missing the oldest so many reach further than so many minutes.
        end_ms, step_ms = min(part.end_ms, end_ms + step_ms), 4 * step_ms
        found = await store.read(series, TimeRange(part.start_ms, end_ms))
    return Columns(found.open_times[:count], tuple(column[:count] for column in found.values))


async def _held(store: Store, series: Series) -> TimeRange:
    """What time the store's candles of a series span; UnknownSeries names near ones where it has none."""
    held = await store.holdings()
    if series in held:
        return held[series]
    near = near_series(series, held)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    fetch = f"laklak backfill {series.venue}:{series.symbol} --interval {series.interval} --days 1"
    raise UnknownSeries(
        f"no candles of {series} in {store.display}", hint=f"{hint}fetch it first: {fetch} --store {store.display}"
    )


def near_series(series: Series, held: Iterable[Series]) -> list[str]:
    """The names of a few series that may be meant by one that is not there: another interval, or a like symbol."""
    names = {str(one): one.symbol.upper() for one in held}
    word = series.symbol.upper()
    same = [name for name, symbol in names.items() if symbol == word]
    longer = [name for name, symbol in names.items() if symbol.startswith(word)]
    like = get_close_matches(word, dict.fromkeys(names.values()), n=3, cutoff=0.7)
    return (same or longer or [name for name, symbol in names.items() if symbol in like])[:3]


def read_candles(
    store: str | os.PathLike[str],
    series: str,
    start: Moment | None = None,
    end: Moment | None = None,
    *,
    last: int | None = None,
) -> polars.DataFrame:
    """`aread_candles` for code that is not async; works inside a running loop, as in a notebook."""
    outcome: list[polars.DataFrame | BaseException] = []

    def read() -> None:
        try:
            outcome.append(asyncio.run(aread_candles(store, series, start, end, last=last)))
        except BaseException as exc:
            outcome.append(exc)

    # A thread of its own, since a running loop cannot run another.
    thread = threading.Thread(target=read, name="laklak-read")
    thread.start()
    thread.join()
    if isinstance(outcome[0], BaseException):
        raise outcome[0]
    return outcome[0]


def _moment_ms(moment: Moment | None, default_ms: int) -> int:
    if moment is None:
        return default_ms
    return parse_time(moment if isinstance(moment, str) else moment.isoformat())
