"""What a program calls: the same words as the command line, and nothing printed."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from laklak.audit.coverage import CoverageReport, Range, look_at
from laklak.audit.digest import DigestReport, digest_of
from laklak.audit.explain import Explanation, explain_minute
from laklak.audit.made import VerifiedSummary, VerifiedTransfer
from laklak.audit.runs import runs_of
from laklak.audit.sources import Sample
from laklak.audit.verify import DEPTHS, Depth, VerifyReport
from laklak.engine import Backfill, Transfer
from laklak.errors import UsageError
from laklak.model.records import RunRecord
from laklak.model.series import Series, TimeRange
from laklak.order import (
    TIMING,
    copy_job,
    days_of,
    import_job,
    order,
    resample_job,
    typed_minute,
    typed_range,
)
from laklak.report.copied import CopySummary, ImportSummary
from laklak.report.log import open_log
from laklak.report.progress import Progress, Report
from laklak.report.status import progress_of
from laklak.report.summary import Estimate, Summary
from laklak.settings.load import Settings, load_settings
from laklak.settings.order import MODES
from laklak.settings.spelling import parts_of
from laklak.settings.table import FLAGS
from laklak.settings.times import parse_time
from laklak.settings.typed import full_series, typed_interval, typed_series
from laklak.stores import open_store
from laklak.stores.access import StoreAccess
from laklak.stores.base import Store
from laklak.stores.reading import ALWAYS, stored_candles

if TYPE_CHECKING:
    import polars

    from laklak.audit.paper import Certificate
    from laklak.transfer.export import ExportReport

Moment = str | date | datetime
Found = TypeVar("Found")

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
    settings = _settings(config=config, max_wait=max_wait)
    _open_log(log_file)
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
    work = Transfer(job, observer)
    summary = await work.run()
    observer.progress(work.report)
    return summary


async def fill(
    symbols: str | Iterable[str] | None = None, *, lookback: str = "168h", **options: Any
) -> Summary | Estimate:
    """Fill what is missing of the last week, or of `lookback`, up to whole days: `backfill` by a shorter name.

    `options` are those of `backfill`, but for its range.
    """
    return await backfill(symbols, days=days_of(lookback), **options)


async def import_(
    files: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    *,
    series: str | None = None,
    columns: Mapping[str, str] | None = None,
    precision: str = "ns",
    venue: str | None = None,
    store: str | os.PathLike[str] | None = None,
    replace: bool = False,
    force: bool = False,
    config: str | os.PathLike[str] | None = None,
    max_wait: str | float | None = None,
    log_file: str | os.PathLike[str] | None = None,
    progress: Callable[[Progress], object] | None = None,
) -> ImportSummary:
    """Store candles from files, as `laklak import` does, and give the summary.

    `columns`: what ours are called in the files, as in `{"open_time": "ts"}`. `precision`: what the times of line
    protocol are in. `progress` as for backfill. Raises LaklakError when the import cannot start; once candles move,
    trouble is in the summary.
    """
    settings = _settings(venue=venue, store=store, config=config, max_wait=max_wait)
    _open_log(log_file)
    paths = [Path(one) for one in ([files] if isinstance(files, str | os.PathLike) else files)]
    if not paths:
        raise UsageError("an empty list of files", hint="name some")
    observer = Silent(progress)
    job = import_job(paths, settings, series=series, columns=columns, precision=precision, replace=replace, force=force)
    work = Transfer(job, observer)
    summary = await work.run()
    observer.progress(work.report)
    return summary


async def resample(
    intervals: str | Iterable[str],
    to: str | os.PathLike[str],
    series: str | Iterable[str] | None = None,
    *,
    days: int | None = None,
    start: Moment | None = None,
    end: Moment | None = None,
    interval: str | None = None,
    store: str | os.PathLike[str] | None = None,
    verify: int | Literal["all"] | None = None,
    force: bool = False,
    within_retention: bool = False,
    other_address: bool = False,
    config: str | os.PathLike[str] | None = None,
    max_wait: str | float | None = None,
    log_file: str | os.PathLike[str] | None = None,
    progress: Callable[[Progress], object] | None = None,
) -> VerifiedSummary:
    """Make longer candles of those in `store` and write them `to` another one, as `laklak resample` does.

    With `verify` venues are asked for their own of so many days of each series, and the summary has `verified`, a
    VerifyReport. `progress` as for backfill. Raises LaklakError when nothing can be made; once candles move, trouble
    is in the summary.
    """
    settings = _settings(
        days=days, start=start, end=end, interval=interval, store=store, config=config, max_wait=max_wait
    )
    _open_log(log_file)
    job = resample_job(
        os.fspath(to),
        [intervals] if isinstance(intervals, str) else list(intervals),
        [typed_series(name, settings) for name in _names(series)],
        settings,
        force=force,
        within_retention=within_retention,
        other_address=other_address,
    )
    observer = Silent(progress)
    sample = None if verify is None else _sample(verify)
    work = VerifiedTransfer(job, observer, sample, settings, TIMING, Silent())
    summary = await work.run()
    observer.progress(work.report)
    return summary


async def export(
    series: str | Iterable[str] | None = None,
    *,
    out: str | os.PathLike[str] = ".",
    format: str | None = None,
    layout: Literal["freqtrade"] | None = None,
    days: int | None = None,
    start: Moment | None = None,
    end: Moment | None = None,
    interval: str | None = None,
    store: str | os.PathLike[str] | None = None,
    config: str | os.PathLike[str] | None = None,
) -> ExportReport:
    """Write stored candles into a file for each series, as `laklak export` does, and say which.

    Raises UsageError for a series that the store does not have, NothingInRange where it has no candle in that time,
    OutputError for a file that cannot be written.
    """
    from laklak.transfer.export import STDOUT, Export, ExportJob, format_of

    place = os.fspath(out)
    if place == STDOUT:
        raise UsageError("candles are exported to standard output by the command alone", hint="name a file or a folder")
    settings = _settings(days=days, start=start, end=end, interval=interval, store=store, config=config)
    job = ExportJob(
        store=settings.store_access,
        series=tuple(typed_series(name, settings) for name in _names(series)),
        interval=typed_interval(settings),
        wanted=typed_range(settings),
        format=format_of(format, place, layout),
        out=place,
        layout=layout,
    )
    return await Export(job).run()


# What only looks into a store


@dataclass(frozen=True, slots=True)
class _Look:
    """What is looked at: the series that were named (none: all that is stored), of a time and an interval."""

    settings: Settings
    series: list[Series]

    @property
    def wanted(self) -> Range:
        return Range(self.settings.days, self.settings.start_ms, self.settings.end_ms)

    async def in_store(self, work: Callable[[Store], Awaitable[Found]]) -> Found:
        """Do something in the store as it stands; it is not made."""
        async with open_store(self.settings.store_access.at_once, create=False) as opened:
            return await work(opened)


def _look(series: str | Iterable[str] | None, **given: object) -> _Look:
    settings = _settings(**given)
    return _Look(settings, [typed_series(name, settings) for name in _names(series)])


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
    look = _look(series, days=days, start=start, end=end, interval=interval, store=store, config=config)
    of = typed_interval(look.settings)
    return await look.in_store(lambda opened: look_at(opened, look.series, look.wanted, typed=True, interval=of))


async def digest(
    series: str | Iterable[str] | None = None,
    *,
    days: int | None = None,
    start: Moment | None = None,
    end: Moment | None = None,
    interval: str | None = None,
    store: str | os.PathLike[str] | None = None,
    config: str | os.PathLike[str] | None = None,
) -> DigestReport:
    """Digest each UTC day of stored candles, as `laklak digest` does: the same rows, the same `root`. See coverage."""
    look = _look(series, days=days, start=start, end=end, interval=interval, store=store, config=config)
    of = typed_interval(look.settings)
    return await look.in_store(lambda opened: digest_of(opened, look.series, look.wanted, typed=True, interval=of))


async def certificate(
    series: str | Iterable[str] | None = None,
    *,
    days: int | None = None,
    start: Moment | None = None,
    end: Moment | None = None,
    interval: str | None = None,
    out: str | os.PathLike[str] | None = None,
    sign: str | os.PathLike[str] | None = None,
    store: str | os.PathLike[str] | None = None,
    config: str | os.PathLike[str] | None = None,
) -> Certificate:
    """Issue a certificate, as `laklak certificate` does: into the file `out`, signed with the key `sign` if that is
    given. See coverage; raises OutputError where a file cannot be written.
    """
    from laklak.audit.certificate import issue
    from laklak.audit.paper import check_places, put

    file, key = (None if one is None else Path(one) for one in (out, sign))
    check_places(file, key)
    look = _look(series, days=days, start=start, end=end, interval=interval, store=store, config=config)
    of = typed_interval(look.settings)
    made = await look.in_store(lambda opened: issue(opened, look.series, look.wanted, typed=True, interval=of))
    return put(made, file, key)


async def verify(
    series: str | Iterable[str] | None = None,
    *,
    days: int | None = None,
    start: Moment | None = None,
    end: Moment | None = None,
    interval: str | None = None,
    depth: Depth = "full",
    against: str | os.PathLike[str] | None = None,
    sample: int | Literal["all"] | None = None,
    mend: bool = False,
    store: str | os.PathLike[str] | None = None,
    config: str | os.PathLike[str] | None = None,
) -> VerifyReport:
    """Read what is stored back and name what is not as it has to be, as `laklak verify` does.

    `against`: digests, a certificate or another store. With a `sample` sources are asked for so many days of each
    series; `mend` writes what they say. See coverage; raises what keeps sources from being asked.
    """
    from laklak.audit.beside import known_of, verify_beside

    other = None if against is None else os.fspath(against)
    if depth not in DEPTHS:
        raise UsageError(f"depth {depth} is none", hint=f"there is {', '.join(DEPTHS)}")
    if mend and sample is None:
        raise UsageError("mend without sample", hint="sample='all' asks for every day")
    known = known_of(other)
    look = _look(series, days=days, start=start, end=end, interval=interval, store=store, config=config)
    return await verify_beside(
        look.settings,
        look.series,
        look.wanted,
        timing=TIMING,
        observer=Silent(),
        typed=bool(look.series),
        depth=depth,
        interval=typed_interval(look.settings),
        against=other,
        known=known,
        sample=None if sample is None else _sample(sample, mend=mend),
    )


async def explain(
    series: str,
    time: Moment,
    *,
    interval: str | None = None,
    store: str | os.PathLike[str] | None = None,
    config: str | os.PathLike[str] | None = None,
) -> Explanation:
    """Say what became of the candle that opens at `time`, as `laklak explain` does: its `verdict` and what speaks for
    it. Raises UsageError for a time at which none opens, or a series that the store does not have.
    """
    look = _look(None, interval=interval, store=store, config=config)
    wanted, open_ms = typed_minute(series, _text(time), look.settings)
    return await look.in_store(lambda opened: explain_minute(opened, wanted, open_ms))


async def runs(
    last: int = 20,
    *,
    series: str | None = None,
    failed: bool = False,
    interval: str | None = None,
    store: str | os.PathLike[str] | None = None,
    config: str | os.PathLike[str] | None = None,
) -> list[RunRecord]:
    """Give the newest runs that a store remembers, the newest first, with what they filled, as `laklak runs` does.

    With a `series` only those that filled something of it or failed at it, `failed` only what did not succeed.
    """
    if last < 1:
        raise UsageError(f"the last {last} runs are none", hint="give 1 or more")
    look = _look(series, interval=interval, store=store, config=config)
    of = look.series[0] if look.series else None
    return await look.in_store(lambda opened: runs_of(opened, last, series=of, failed=failed))


async def aread_candles(
    store: str | os.PathLike[str],
    series: str,
    start: Moment | None = None,
    end: Moment | None = None,
    *,
    last: int | None = None,
    interval: str | None = None,
) -> polars.DataFrame:
    """Read stored candles: open_time (Datetime ms UTC), open, high, low, close, volume (Float64), sorted.

    Whole candles only: a row or point without five finite numbers, or off the grid of the interval, is left out.
    `series` as in `binance:BTCUSDT:1m`, or a symbol: then the venue is that of the settings, and so is the `interval`
    where it is left out. `start` is inclusive, `end` exclusive; `last` keeps the newest so many. Where the store has
    only shorter candles of the symbol they are made of these, where each of them is held or quiet. No row where the
    series has none in that time.
    Raises UsageError for a bad series or time, UnknownSeries for one that the store does not have, StoreError when the
    store cannot be read.
    """
    import polars

    where = os.fspath(store)
    settings = _settings(interval=interval) if interval or _needs_settings(where, series) else None
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
    interval: str | None = None,
) -> polars.DataFrame:
    """`aread_candles` for code that is not async; works inside a running loop, as in a notebook."""
    outcome: list[polars.DataFrame | BaseException] = []

    def read() -> None:
        try:
            outcome.append(asyncio.run(aread_candles(store, series, start, end, last=last, interval=interval)))
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


def _settings(**given: object) -> Settings:
    """The settings in force with these flags; None is not given."""
    moments = {name: _text(one) for name, one in given.items() if isinstance(one, date)}
    return load_settings({**given, **moments}, environment=os.environ, folder=Path.cwd())


def _open_log(log_file: str | os.PathLike[str] | None) -> None:
    if log_file is not None:
        open_log(os.fspath(log_file), verbose=False)


def _names(series: str | Iterable[str] | None) -> list[str]:
    """The names that were given; none where all that is stored is meant."""
    if series is None:
        return []
    names = [series] if isinstance(series, str) else list(series)
    if not names:
        raise UsageError("an empty list of series", hint="name some, or leave them out for all that is stored")
    return names


def _sample(days: int | Literal["all"], *, mend: bool = False) -> Sample:
    if days != "all" and days < 1:
        raise UsageError(f"{days} days are no sample", hint="give 1 or more, or 'all'")
    return Sample(None if days == "all" else days, mend)


def _text(moment: Moment) -> str:
    return moment if isinstance(moment, str) else moment.isoformat()


def _moment_ms(moment: Moment | None, default_ms: int) -> int:
    if moment is None:
        return default_ms
    return parse_time(_text(moment))
