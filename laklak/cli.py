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
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import typer

from laklak._version import __version__
from laklak.errors import LaklakError, StoreError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from laklak.api import Order
    from laklak.engine import Backfill
    from laklak.report import Estimate, Summary
    from laklak.settings import Settings
    from laklak.terminal import Terminal

log = logging.getLogger(__name__)

STOPS: Final = {signal.SIGINT: (130, 30.0), signal.SIGTERM: (143, 8.0)}
"""The signals that stop a run: the exit status, and the seconds to finish what is on the wire."""

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
    wants_json = "--json" in arguments and arguments[0] not in ("show", "simulate")
    error: LaklakError
    with _streams():
        try:
            _heed_signals()
            status = app(list(arguments), prog_name="laklak", standalone_mode=False)
            return status if isinstance(status, int) else 0
        except _StoppedEarly as exc:
            error = _Interrupted("stopped by a signal", exit_code=exc.exit_code)
        except LaklakError as exc:
            log.debug("ended by an error", exc_info=exc)
            error = exc
        except typer.Exit as exc:
            return int(exc.exit_code)
        except Exception as exc:
            error = _unexpected(exc)
        finally:
            _ignore_signals()
        say_error(error)
        return _end(error, wants_json)


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


class _StoppedEarly(BaseException):
    """A signal with no run there to be told. Not a KeyboardInterrupt: of that typer makes an exit without a word."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code


class _Interrupted(LaklakError):
    reason = "interrupted"

    def __init__(self, message: str, *, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def _heed_signals() -> None:
    """Before and after a run, too, a signal ends the program with the exit status that it has in the middle of it."""

    def stop(number: int, _frame: FrameType | None) -> None:
        raise _StoppedEarly(STOPS[signal.Signals(number)][0])

    for number in STOPS:
        signal.signal(number, stop)
    # Those that came while the program was being loaded come now.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)


def _ignore_signals() -> None:
    for number in STOPS:
        signal.signal(number, signal.SIG_IGN)


@contextlib.contextmanager
def _streams() -> Iterator[None]:
    """Streams that were closed by whoever started us lead nowhere, instead of being None."""
    with contextlib.ExitStack() as stack:
        for name in ("stdout", "stderr"):
            if getattr(sys, name) is None:
                setattr(sys, name, stack.enter_context(open(os.devnull, "w", encoding="utf-8")))
                stack.callback(setattr, sys, name, None)
        yield


def _end(error: LaklakError, wants_json: bool) -> int:
    if wants_json:
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
        str | None, typer.Option(metavar="TIME", help="Longest wait for a ban or a rate limit [10m].")
    ] = None,
    refetch: Annotated[bool, typer.Option("--refetch", help="Fetch what is stored too, and overwrite it.")] = False,
    recheck: Annotated[bool, typer.Option("--recheck", help="Ask known holes and rejects again.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Go on although the disk is nearly full, or mix real and simulated.")
    ] = False,
    within_retention: Annotated[
        bool, typer.Option("--within-retention", help="Leave out what the InfluxDB retention policy would drop.")
    ] = False,
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
    from laklak.report import Estimate, summarise
    from laklak.terminal import emit, estimate_lines, say_error, summary_lines

    error: LaklakError | None = None
    outcome: Summary | Estimate

    async def go() -> tuple[Summary | Estimate, LaklakError | None]:
        work = Backfill(ordered.job, terminal, notes=ordered.notes, warnings=ordered.warnings)
        with _signals(work, terminal):
            try:
                return await work.run(), None
            except LaklakError as exc:
                return summarise(work.report, error=exc), exc

    try:
        outcome, error = _run_loop(go())
    finally:
        terminal.close()
    # It is over: a signal could only cost the summary now.
    _ignore_signals()
    if error is not None:
        say_error(error)
    elif not isinstance(outcome, Estimate) and outcome.error:
        say_error(LaklakError(outcome.error, hint=outcome.hint))
    if isinstance(outcome, Estimate):
        lines = list(estimate_lines(outcome))
    else:
        lines = [] if error is not None else list(summary_lines(outcome))
        for line in lines:
            log.info("%s", line.strip())
    if as_json:
        _print_json(outcome.as_json())
    elif not quiet or isinstance(outcome, Estimate):
        for line in lines:
            emit(line, sys.stdout)
    return outcome.exit


@contextlib.contextmanager
def _signals(work: Backfill, terminal: Terminal) -> Iterator[None]:
    """First signal: finish and report. Second: stop now."""
    import asyncio

    from laklak.text import counted

    loop = asyncio.get_running_loop()
    asked = False

    def on_signal(exit_code: int, grace_s: float) -> None:
        nonlocal asked
        if asked:
            work.stop_now()
            return
        asked = True
        count = work.on_the_wire
        terminal.stopping(f"finishing {counted(count, 'request')}; again to stop now")
        work.stop(exit_code, grace_s)

    before = {number: signal.getsignal(number) for number in STOPS}
    for number, (exit_code, grace_s) in STOPS.items():
        loop.add_signal_handler(number, on_signal, exit_code, grace_s)
    try:
        yield
    finally:
        for number in STOPS:
            loop.remove_signal_handler(number)
            signal.signal(number, before[number])


@app.command()
def show(
    series: Annotated[str, typer.Argument(metavar="SERIES", help="A series like binance:BTCUSDT:1m, or a symbol.")],
    last: Annotated[int, typer.Option(min=1, max=100_000, metavar="N", help="How many of the newest candles.")] = 5,
    store: Annotated[str | None, typer.Option(metavar="WHERE", help="The store [laklak.db].")] = None,
    config: Annotated[str | None, typer.Option(metavar="FILE", help="Settings file [laklak.toml].")] = None,
) -> int:
    """Show the newest stored candles of a series."""
    from laklak.api import stored_candles
    from laklak.terminal import candle_lines, emit
    from laklak.text import mask_url

    settings = _settings({"store": store, "config": config})
    wanted = _series(series, settings)
    columns = _run_loop(stored_candles(settings.store_access, wanted, last=last))
    if not columns.open_times:
        raise StoreError(
            f"no candles of {wanted} in {mask_url(settings.store)}",
            hint=f"fetch them first: laklak backfill {wanted.venue}:{wanted.symbol} --interval {wanted.interval} "
            f"--days 1 --store {mask_url(settings.store)}",
        )
    for line in candle_lines(wanted, columns):
        emit(line, sys.stdout)
    return 0


def _series(text: str, settings: Settings) -> Any:
    from laklak.api import typed_symbol
    from laklak.model import Interval, Series

    if text.count(":") >= 2:
        try:
            series = Series.parse(text)
        except ValueError as exc:
            raise UsageError(str(exc), hint="write venue:symbol:interval, as in binance:BTCUSDT:1m") from None
        typed_symbol(f"{series.venue}:{series.symbol}", settings.venue, settings.interval)
        return series
    asked = typed_symbol(text, settings.venue, settings.interval)
    return Series(asked.venue, asked.symbol, Interval.parse(settings.interval))


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
            "reset slow; hole=BTCUSDT@2026-02-10T12:00Z+5; late=BTCUSDT@2026-02-10T12:00Z.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of faults and made-up candles.")] = 1,
) -> int:
    """Run a faithful local Binance on 127.0.0.1, for tests, demonstrations and measurements.

    Its clock stands still at the end of the candles, so that --days works. Stop it with Ctrl-C.
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
        )
        simulator = Simulator(source, settings)
    except (ValueError, OSError) as exc:
        raise UsageError(f"the simulator cannot start: {exc}", hint="laklak simulate --help shows the forms") from None

    async def serve() -> None:
        import asyncio

        stopped = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stopped.set)
        try:
            await simulator.__aenter__()
        except OSError as exc:
            raise UsageError(f"cannot listen on port {port}: {exc.strerror}", hint="use another --port") from None
        try:
            emit(f"simulator: {simulator.url}", sys.stdout)
            try_it = f"laklak backfill {next(iter(source.symbols))} --days 1 --store simulated.db"
            emit(f"try: LAKLAK_BINANCE_URL={simulator.url} {try_it}")
            await stopped.wait()
        finally:
            await simulator.__aexit__(None, None, None)

    _run_loop(serve())
    return 0


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


def _run_loop(work: Coroutine[Any, Any, Result]) -> Result:
    """Run on uvloop where it exists."""
    import asyncio
    import gc

    # Pages are many short-lived lists and nothing here is cyclic: looking for cycles less often saves a tenth of the
    # time a backfill needs.
    gc.freeze()
    gc.set_threshold(100_000, 20, 50)
    try:
        import uvloop
    except ImportError:
        return asyncio.run(work)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)
