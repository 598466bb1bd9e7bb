"""What a program calls: the same words as the command line, and nothing printed."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from laklak.audit.coverage import CoverageReport, Range, look_at
from laklak.engine import Backfill, Copy
from laklak.model.series import TimeRange
from laklak.order import copy_job, order
from laklak.report.copied import CopySummary
from laklak.report.log import open_log
from laklak.report.progress import Progress, Report
from laklak.report.status import progress_of
from laklak.report.summary import Estimate, Summary
from laklak.settings.load import load_settings
from laklak.settings.order import MODES
from laklak.settings.spelling import parts_of
from laklak.settings.table import FLAGS
from laklak.settings.times import parse_time
from laklak.settings.typed import full_series, typed_series
from laklak.stores import open_store
from laklak.stores.access import StoreAccess
from laklak.stores.reading import ALWAYS, stored_candles

if TYPE_CHECKING:
    import polars

Moment = str | date | datetime

log = logging.getLogger(__name__)


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
    given = dict(locals())
    folder = Path.cwd()
    flags = {key: given[key] for key in (*FLAGS, "config")}
    settings = load_settings(flags, environment=os.environ, folder=folder)
    if log_file:
        open_log(settings.log_file, verbose=False)
    names = [symbols] if isinstance(symbols, str) else list(symbols) if symbols is not None else None
    modes = {name: given[name] for name in MODES}
    ordered = order(names, settings, folder=folder, every=all, quote=quote, **modes)
    observer = Silent(progress)
    work = Backfill(ordered, observer)
    outcome = await work.run()
    if not dry_run:
        observer.progress(work.report)
    return outcome


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


async def coverage(
    series: str | Iterable[str] | None = None,
    *,
    days: int | None = None,
    start: Moment | None = None,
    end: Moment | None = None,
    interval: str | None = None,
    store: str | os.PathLike[str] | None = None,
    config: str | os.PathLike[str] | None = None,
) -> CoverageReport:
    """Say how much of each series a store has and where gaps lie, as `laklak coverage` does; no venue is asked.

    `series` as in `binance:BTCUSDT:1m` or a symbol, one or several; all that is stored when it is left out. Raises
    UsageError for a series that the store does not have, StoreError when the store cannot be read.
    """
    moments = {"start": start, "end": end}
    flags: dict[str, object] = {"days": days, "interval": interval, "store": store, "config": config}
    flags |= {name: one if one is None or isinstance(one, str) else one.isoformat() for name, one in moments.items()}
    settings = load_settings(flags, environment=os.environ, folder=Path.cwd())
    names = [series] if isinstance(series, str) else list(series or ())
    wanted = Range(settings.days, settings.start_ms, settings.end_ms)
    async with open_store(replace(settings.store_access, refusal_wait_s=0.0), create=False) as opened:
        asked = [typed_series(name, settings) for name in names]
        return await look_at(opened, asked, wanted, typed=True, interval=settings.interval if interval else None)


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
    inclusive, `end` exclusive; `last` keeps the newest so many. Where the store has only shorter candles of the symbol
    they are made of these, where each of them is held or quiet. No row where the series has none in that time.
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


def _needs_settings(where: str, series: str) -> bool:
    """Whether something is to be read that the environment, .env and laklak.toml say: about a server, or a series."""
    venue, _, interval = parts_of(series)
    return "://" in where or venue is None or interval is None


def _moment_ms(moment: Moment | None, default_ms: int) -> int:
    if moment is None:
        return default_ms
    return parse_time(moment if isinstance(moment, str) else moment.isoformat())
