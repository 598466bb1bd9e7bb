"""The command line: the only module that sets the exit status.

Heavy imports are made inside the commands, so that `laklak --help` answers at once.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import typer

from laklak._version import __version__
from laklak.errors import LaklakError, StoreError, UsageError
from laklak.process import (
    Interrupted,
    StoppedEarly,
    at_signals,
    heed_signals,
    ignore_signals,
    open_streams,
    run_loop,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from laklak.api import Order
    from laklak.copying import CopySummary
    from laklak.engine import Backfill, Copy
    from laklak.report import Estimate, Summary
    from laklak.settings import Settings
    from laklak.terminal import Terminal

    Outcome = Summary | Estimate | CopySummary

log = logging.getLogger(__name__)

EXIT_STATUS: Final = (
    "Exit status: 0 nothing is left that another run could change; 1 something is missing, newly rejected or failed; "
    "2 wrong usage or settings, or a store or venue that cannot be reached at the start; 75 try later (another run "
    "is filling this store, or a ban lasts longer than --max-wait); 130 and 143 after SIGINT and SIGTERM."
)

Result = TypeVar("Result")

app = typer.Typer(
    name="laklak",
    help="Fill a database with every candle a venue has, and prove that nothing is missing.",
    epilog=EXIT_STATUS,
    no_args_is_help=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def run(arguments: Sequence[str]) -> int:
    """Do what the arguments say and give the exit status; every error is a line, never a traceback.

    Afterwards SIGINT and SIGTERM are ignored: the exit status is settled, and a signal on the way out would change it.
    """
    from laklak.terminal import say_error

    arguments = arguments or ["--help"]
    wants_json = "--json" in arguments and arguments[0] not in ("show", "simulate", "bench")
    error: LaklakError
    with open_streams():
        try:
            heed_signals()
            status = app(list(arguments), prog_name="laklak", standalone_mode=False)
            return status if isinstance(status, int) else 0
        except StoppedEarly as exc:
            error = Interrupted(exc.exit_code)
        except LaklakError as exc:
            log.debug("ended by an error", exc_info=exc)
            error = exc
        except typer.Exit as exc:
            return int(exc.exit_code)
        except Exception as exc:
            error = _unexpected(exc)
        finally:
            ignore_signals()
        say_error(error)
        return _end(error, wants_json, copied=arguments[0] == "copy")


def _unexpected(exc: Exception) -> LaklakError:
    message = getattr(exc, "format_message", None)
    if message is not None:
        command = getattr(getattr(exc, "ctx", None), "command_path", None) or "laklak"
        return UsageError(message(), hint=f"{command} --help shows what there is")
    log.debug("internal error", exc_info=exc)
    cause: BaseException = exc
    while isinstance(cause, BaseExceptionGroup):
        cause = cause.exceptions[0]
    return LaklakError(
        f"internal error: {type(cause).__name__}: {cause}",
        hint="run again with -v: backfill.log then shows where; please report it",
    )


def _end(error: LaklakError, wants_json: bool, *, copied: bool = False) -> int:
    if wants_json and copied:
        from laklak.copying import CopyReport, summarise_copy

        _print_json(summarise_copy(CopyReport(), error=error).as_json())
    elif wants_json:
        from laklak.report import Report, summarise

        _print_json(summarise(Report(), error=error).as_json())
    return error.exit_code


def _print_json(answer: dict[str, Any]) -> None:
    from laklak.terminal import emit_bytes

    # JSON is UTF-8 whatever the terminal speaks.
    emit_bytes(json.dumps(answer, ensure_ascii=False).encode() + b"\n", sys.stdout)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"laklak {__version__}")  # noqa: T201
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Fill a database with every candle a venue has, and prove that nothing is missing."""


@app.command(epilog=EXIT_STATUS)
def backfill(
    symbols: Annotated[
        list[str] | None,
        typer.Argument(metavar="SYMBOL", help="Symbols, or VENUE:SYMBOL; without any the asset list says which."),
    ] = None,
    assets: Annotated[
        str | None, typer.Option(metavar="FILE", help="Asset list; else ./assets.txt, else the packaged one.")
    ] = None,
    venue: Annotated[str | None, typer.Option(metavar="VENUE", help="Venue of bare symbols [binance].")] = None,
    interval: Annotated[str | None, typer.Option(metavar="1m..1d", help="Length of a candle [1m].")] = None,
    days: Annotated[str | None, typer.Option(metavar="N", help="So many times 24 hours before the end.")] = None,
    start: Annotated[str | None, typer.Option(metavar="T", help="First moment; a date is midnight UTC.")] = None,
    end: Annotated[str | None, typer.Option(metavar="T", help="Moment to stop before [now].")] = None,
    store: Annotated[
        str | None, typer.Option(metavar="WHERE", help="SQLite file, or influxdb://HOST/DATABASE [laklak.db].")
    ] = None,
    budget: Annotated[
        str | None, typer.Option(metavar="N|max", help="Weight a minute to use; max is all the venue allows [1200].")
    ] = None,
    chunk: Annotated[
        str | None, typer.Option(metavar="N|auto", help="Candles a request; auto is the cheapest by weight [1000].")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Show the plan and its time; fetch nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
    no_progress: Annotated[bool, typer.Option("--no-progress", help="No progress display.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only warnings and errors.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="More in the log, tracebacks too.")] = False,
    log_file: Annotated[
        str | None, typer.Option(metavar="FILE|none", help="Log of the run, rotated [backfill.log].")
    ] = None,
    config: Annotated[str | None, typer.Option(metavar="FILE", help="Settings file [laklak.toml].")] = None,
    max_wait: Annotated[
        str | None, typer.Option(metavar="TIME", help="Longest wait for a ban, a limit, or a store that is down [10m].")
    ] = None,
    refetch: Annotated[bool, typer.Option("--refetch", help="Fetch what is stored too, and overwrite it.")] = False,
    recheck: Annotated[bool, typer.Option("--recheck", help="Ask known holes and rejects again.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Go on although the disk is nearly full, or mix real and simulated.")
    ] = False,
    within_retention: Annotated[
        bool, typer.Option("--within-retention", help="Leave out what the InfluxDB retention policy would drop.")
    ] = False,
    source: Annotated[
        str | None,
        typer.Option(metavar="auto|rest|archive", help="The API, the venue's bulk files, or the better one [auto]."),
    ] = None,
    archive_connections: Annotated[
        str | None, typer.Option(metavar="N", help="Setting: bulk files fetched at once [32].")
    ] = None,
    workers: Annotated[str | None, typer.Option(metavar="N", help="Setting: requests at once [16].")] = None,
    batch_size: Annotated[str | None, typer.Option(metavar="N", help="Setting: rows written at once [20000].")] = None,
) -> int:
    """Fetch every candle that is missing from the store.

    \b
    laklak backfill --days 90
    laklak backfill BTCUSDT ETHUSDT --start 2026-01-01 --store candles.db
    """
    from laklak.api import order
    from laklak.settings import settings_lines
    from laklak.terminal import Terminal

    flags = {
        "assets": assets,
        "venue": venue,
        "interval": interval,
        "days": days,
        "start": start,
        "end": end,
        "store": store,
        "budget": budget,
        "chunk": chunk,
        "log_file": log_file,
        "config": config,
        "max_wait": max_wait,
        "source": source,
        "archive_connections": archive_connections,
        "workers": workers,
        "batch_size": batch_size,
    }
    settings = _settings(flags)
    terminal = Terminal(quiet=quiet, progress=not no_progress)
    _start_log(settings, terminal, verbose=verbose)
    log.info("laklak %s backfill", __version__)
    for line in settings_lines(settings):
        log.info("%s", line)
    ordered = order(
        symbols or None,
        settings,
        folder=_folder(),
        refetch=refetch,
        recheck=recheck,
        force=force,
        dry_run=dry_run,
        within_retention=within_retention,
    )
    return _backfill(ordered, terminal, as_json=as_json, quiet=quiet)


def _backfill(ordered: Order, terminal: Terminal, *, as_json: bool, quiet: bool) -> int:
    from laklak.engine import Backfill
    from laklak.report import summarise

    work = Backfill(ordered.job, terminal, notes=ordered.notes, warnings=ordered.warnings)
    return _perform(work, terminal, lambda exc: summarise(work.report, error=exc), as_json=as_json, quiet=quiet)


def _perform(
    work: Backfill | Copy, terminal: Terminal, closed: Callable[[LaklakError], Outcome], *, as_json: bool, quiet: bool
) -> int:
    """Run it and say how it ended; `closed` gives the account of work that could not start."""
    from laklak.report import Estimate
    from laklak.terminal import emit, outcome_lines, say_error

    error: LaklakError | None = None
    outcome: Outcome

    async def go() -> tuple[Outcome, LaklakError | None]:
        with _signals(work, terminal):
            try:
                return await work.run(), None
            except LaklakError as exc:
                return closed(exc), exc

    try:
        outcome, error = run_loop(go())
    finally:
        terminal.close()
    # It is over: a signal could only cost the summary now.
    ignore_signals()
    if error is not None:
        say_error(error)
    elif not isinstance(outcome, Estimate) and outcome.error:
        say_error(LaklakError(outcome.error, hint=outcome.hint))
    lines = [] if error is not None else list(outcome_lines(outcome))
    if not isinstance(outcome, Estimate):
        for line in lines:
            log.info("%s", line.strip())
    if as_json:
        _print_json(outcome.as_json())
    elif not quiet or isinstance(outcome, Estimate):
        for line in lines:
            emit(line, sys.stdout)
    return outcome.exit


@contextlib.contextmanager
def _signals(work: Backfill | Copy, terminal: Terminal) -> Iterator[None]:
    """First signal: finish and report. Second: stop now."""
    asked = False

    def on_signal(exit_code: int, grace_s: float) -> None:
        nonlocal asked
        if asked:
            work.stop_now()
            return
        asked = True
        terminal.stopping(f"finishing {work.in_flight}; again to stop now")
        work.stop(exit_code, grace_s)

    with at_signals(on_signal):
        yield


def _look(work: Coroutine[Any, Any, Result], *, wants_json: bool = False) -> Result:
    """Run what only looks: a signal ends the program at once, whatever is waited for."""
    from laklak.terminal import say_error

    def leave(exit_code: int, _grace_s: float) -> None:
        error = Interrupted(exit_code)
        say_error(error)
        # Not by an exception: a thread that waits for a dead disk or server would be waited for.
        os._exit(_end(error, wants_json))

    async def go() -> Result:
        with at_signals(leave):
            return await work

    return run_loop(go())


@app.command()
def check(
    store: Annotated[str | None, typer.Option(metavar="WHERE", help="The store [laklak.db].")] = None,
    venue: Annotated[str | None, typer.Option(metavar="VENUE", help="Look at this venue only [binance].")] = None,
    config: Annotated[str | None, typer.Option(metavar="FILE", help="Settings file [laklak.toml].")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> int:
    """Look for what is wrong: settings, asset list, store and venue; nothing is made or changed.

    Costs the venue two small requests, none during a ban. Ends within 15 s. Exit status: 0, or 2 when a backfill could
    not run.
    """
    from laklak import api
    from laklak.engine.check import versions
    from laklak.findings import Checkup, Finding
    from laklak.terminal import emit, finding_lines, settings_block, terminal_width

    def show_findings(checkup: Checkup) -> None:
        if as_json:
            _print_json(checkup.as_json())
            return
        for line in finding_lines(checkup, terminal_width(sys.stdout)):
            emit(line, sys.stdout)

    def show_settings(shown: Sequence[tuple[str, str, str]]) -> None:
        if not as_json:
            for line in settings_block(versions(), shown, terminal_width(sys.stdout)):
                emit(line, sys.stdout)

    try:
        look = api.check(_settings({"store": store, "venue": venue, "config": config}), folder=_folder())
    except LaklakError as exc:
        show_settings(())
        checkup = Checkup(versions(), (), [("settings", Finding.of(exc))])
        show_findings(checkup)
        return checkup.exit

    async def go() -> int:
        show_settings(look.settings)
        checkup = await look.run()
        show_findings(checkup)
        if checkup.cut_short:
            # A thread that waits for a dead disk or a name server cannot be ended, and Python would wait for it.
            os._exit(checkup.exit)
        return checkup.exit

    return _look(go(), wants_json=as_json)


@app.command(epilog=EXIT_STATUS)
def copy(
    source: Annotated[str, typer.Argument(metavar="SRC", help="Store to copy from; it is only read.")],
    destination: Annotated[str, typer.Argument(metavar="DST", help="Store to copy to; made where there is none.")],
    series: Annotated[
        list[str] | None,
        typer.Argument(metavar="SERIES", help="Series like binance:BTCUSDT:1m, or symbols; else all of them."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
    no_progress: Annotated[bool, typer.Option("--no-progress", help="No progress display.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only warnings and errors.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="More in the log, tracebacks too.")] = False,
    log_file: Annotated[str | None, typer.Option(metavar="FILE|none", help="Log of the run [backfill.log].")] = None,
    config: Annotated[str | None, typer.Option(metavar="FILE", help="Settings file [laklak.toml].")] = None,
    max_wait: Annotated[str | None, typer.Option(metavar="TIME", help="Longest wait for a server [10m].")] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Go on although the disk is nearly full, or mix real and simulated.")
    ] = False,
    within_retention: Annotated[
        bool, typer.Option("--within-retention", help="Leave out what DST's retention would drop.")
    ] = False,
) -> int:
    """Copy candles, holes and rejects that one store has and another lacks. No venue is asked.

    \b
    laklak copy candles.db influxdb://me@localhost/market_data
    laklak copy influxdb://localhost/market_data btc.db binance:BTCUSDT:1m

    LAKLAK_INFLUXDB_PASSWORD (or LAKLAK_INFLUXDB_TOKEN) counts for both stores.
    """
    from laklak.api import copy_job
    from laklak.copying import summarise_copy
    from laklak.engine import Copy
    from laklak.settings import check_typed_store
    from laklak.terminal import Terminal

    check_typed_store(source, "SRC")
    check_typed_store(destination, "DST")
    settings = _settings({"log_file": log_file, "config": config, "max_wait": max_wait})
    terminal = Terminal(quiet=quiet, progress=not no_progress)
    job = copy_job(source, destination, series or None, settings, force=force, within_retention=within_retention)
    _start_log(settings, terminal, verbose=verbose)
    log.info("laklak %s copy", __version__)
    work = Copy(job, terminal)
    return _perform(work, terminal, lambda exc: summarise_copy(work.report, error=exc), as_json=as_json, quiet=quiet)


@app.command()
def show(
    series: Annotated[str, typer.Argument(metavar="SERIES", help="A series like binance:BTCUSDT:1m, or a symbol.")],
    last: Annotated[int, typer.Option(min=1, max=100_000, metavar="N", help="How many of the newest candles.")] = 5,
    store: Annotated[str | None, typer.Option(metavar="WHERE", help="The store [laklak.db].")] = None,
    config: Annotated[str | None, typer.Option(metavar="FILE", help="Settings file [laklak.toml].")] = None,
) -> int:
    """Show the newest stored candles of a series."""
    from laklak.api import stored_candles, typed_series
    from laklak.terminal import candle_lines, emit
    from laklak.text import mask_url

    settings = _settings({"store": store, "config": config})
    wanted = typed_series(series, settings)
    columns = _look(stored_candles(settings.store_access, wanted, last=last))
    if not columns.open_times:
        raise StoreError(
            f"no candles of {wanted} in {mask_url(settings.store)}",
            hint=f"fetch them first: laklak backfill {wanted.venue}:{wanted.symbol} --interval {wanted.interval} "
            f"--days 1 --store {mask_url(settings.store)}",
        )
    for line in candle_lines(wanted, columns):
        emit(line, sys.stdout)
    return 0


@app.command()
def simulate(
    recorded: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Serve the candles recorded in this folder.")
    ] = None,
    generated: Annotated[
        int | None, typer.Option(metavar="N", min=1, max=5000, help="Serve made-up candles of N symbols.")
    ] = None,
    days: Annotated[int, typer.Option(metavar="N", min=1, max=3650, help="Days of made-up candles.")] = 90,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8787,
    latency: Annotated[float, typer.Option(metavar="SECONDS", min=0, max=60, help="What every answer takes.")] = 0.0,
    budget: Annotated[int, typer.Option(metavar="N", min=1, help="Weight a minute it allows.")] = 2400,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND=SHARE",
            help="Faults, repeatable: 5xx=5%, and so 403 418 429 451 badrow badrow-sticky cut flicker hang html "
            "reset slow; hole=BTCUSDT@2026-02-10T12:00Z+5; late=BTCUSDT@2026-02-10T12:00Z. Of the archive: "
            "archive-KIND=5% or archive-KIND=BTCUSDT@2026-02-10, KIND one of 5xx badrow bomb checksum columns cut "
            "cut-csv doubled empty flaky-checksum header-only microseconds missing missing-day noheader path reset "
            "reversed slow two-members zero-volume.",
        ),
    ] = None,
    prepare_archive: Annotated[
        bool, typer.Option("--prepare-archive", help="Make the files of its archive before serving, for measurements.")
    ] = False,
    archive_cache: Annotated[
        int, typer.Option(metavar="MB", min=1, help="Files of its archive to keep once made, at most.")
    ] = 256,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of faults and made-up candles.")] = 1,
) -> int:
    """Run a faithful local Binance on 127.0.0.1, for tests, demonstrations and measurements.

    Its public archive of zip files is at the same address. Its clock stands still at the end of the candles, so that
    --days works. Stop it with Ctrl-C.
    """
    from laklak.simulator import Simulator, SimulatorSettings, generate, load_recorded, parse_fault
    from laklak.terminal import emit

    if (recorded is None) == (generated is None):
        raise UsageError("what should it serve?", hint="give one of --recorded DIR and --generated N")
    try:
        source = (
            load_recorded(recorded) if recorded is not None else generate(symbols=generated or 1, days=days, seed=seed)
        )
        settings = SimulatorSettings(
            port=port,
            latency_s=latency,
            budget=budget,
            faults=[parse_fault(text) for text in fault or ()],
            seed=seed,
            record_hits=False,
            archive_prepared=prepare_archive,
            archive_cache_bytes=archive_cache * 1024**2,
        )
        simulator = Simulator(source, settings)
    except (ValueError, OSError) as exc:
        raise UsageError(f"the simulator cannot start: {exc}", hint="laklak simulate --help shows the forms") from None

    def announce() -> None:
        emit(f"simulator: {simulator.url}", sys.stdout)
        emit(f"archive: {simulator.url}", sys.stdout)
        made = simulator.archive.prepared
        if made is not None:
            emit(f"prepared: {made.files:,} of {made.wanted:,} files, {made.size_bytes / 1024**2:,.1f} MB")
        addresses = f"LAKLAK_BINANCE_URL={simulator.url} LAKLAK_BINANCE_ARCHIVE_URL={simulator.url}"
        emit(f"try: {addresses} laklak backfill {next(iter(source.symbols))} --days 1 --store simulated.db")

    async def serve() -> None:
        import asyncio

        stopped = asyncio.Event()

        def stop() -> None:
            stopped.set()
            simulator.archive.stop_preparing()

        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop)
        if prepare_archive:
            emit("preparing the archive ...")
        try:
            await simulator.__aenter__()
        except OSError as exc:
            raise UsageError(f"cannot listen on port {port}: {exc.strerror}", hint="use another --port") from None
        try:
            if not stopped.is_set():
                announce()
            await stopped.wait()
        finally:
            await simulator.__aexit__(None, None, None)

    run_loop(serve())
    return 0


@app.command()
def bench(
    quick: Annotated[bool, typer.Option("--quick", help="Less of everything, once: under a minute.")] = False,
    store: Annotated[
        str | None,
        typer.Option(metavar="WHERE", help="Measure beside this store; it is never opened. [a folder of its own]"),
    ] = None,
    config: Annotated[str | None, typer.Option(metavar="FILE", help="Settings file, for --store.")] = None,
    json_file: Annotated[str | None, typer.Option("--json", metavar="FILE", help="Write all figures there.")] = None,
    svg_file: Annotated[str | None, typer.Option("--svg", metavar="FILE", help="Write a picture there.")] = None,
) -> int:
    """Measure how fast a backfill is on this machine, and how near to what is possible.

    A local simulator with all its answers made beforehand is the venue; laklak runs as it always does. Beside it, in
    the same run: the same bytes only fetched, the same rows only written. Every stored value is read back and checked.
    InfluxDB is measured where --store names a server, or where there is an influxd of 1.x to start. Databases and files
    are of its own and are dropped. Nothing but this machine (and the server of --store) is used. Takes a quarter of an
    hour. Exit status: 0, or 1 when a wrong row was stored or something did not run.
    """
    from dataclasses import replace

    from laklak.bench.picture import draw
    from laklak.bench.run import FULL, QUICK, run
    from laklak.bench.table import lines
    from laklak.terminal import emit

    heed_signals(once=True)
    named = None if store is None else _settings({"store": store, "config": config}).store_access
    targets = [Path(name) for name in (json_file, svg_file) if name is not None]
    for target in targets:
        # Told before the minutes are spent; figures of another run stay until there are new ones.
        is_new = not target.exists()
        _write_file(target, "", mode="a")
        if is_new:
            target.unlink()
    results = run(replace(QUICK if quick else FULL, store=named), lambda line: emit(line))
    # It is over: a signal could only cost the figures now.
    ignore_signals()
    for line in lines(results):
        emit(line, sys.stdout)
    if json_file is not None:
        _write_file(Path(json_file), json.dumps(results.as_json(), indent=1) + "\n")
    if svg_file is not None:
        _write_file(Path(svg_file), draw(results))
    return 0


def _write_file(path: Path, text: str, *, mode: str = "w") -> None:
    try:
        with path.open(mode, encoding="utf-8") as file:
            file.write(text)
    except OSError as exc:
        raise UsageError(f"{path} cannot be written: {exc.strerror or exc}", hint="name another file") from None


def _settings(flags: dict[str, str | None]) -> Settings:
    from laklak.settings import load_settings

    return load_settings(flags, environment=os.environ, folder=_folder())


def _folder() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError:
        raise UsageError("the folder you are in does not exist any more", hint="change to one that does") from None


def _start_log(settings: Settings, terminal: Terminal, *, verbose: bool) -> None:
    from laklak.logfile import open_log

    problem = open_log(settings.log_file, verbose=verbose)
    if problem is not None:
        terminal.warn(f"no log: {settings.log_file}: {problem}; going on without")
