"""`laklak simulate`: a local venue."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from laklak.cli.grouped import SETTINGS, TROUBLES, WHAT, WHERE
from laklak.errors import UsageError
from laklak.tasks.process import run_loop
from laklak.text import quoted

if TYPE_CHECKING:
    from laklak.simulator import CandleSource, Simulator, SimulatorSettings

_NAMED_AT_MOST: Final = 20


def simulate(
    recorded: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Serve the candles recorded in this folder.", rich_help_panel=WHAT),
    ] = None,
    generated: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, max=5000, help="Serve made-up candles of N symbols.", rich_help_panel=WHAT),
    ] = None,
    days: Annotated[
        int, typer.Option(metavar="N", min=1, max=3650, help="Days of made-up candles.", rich_help_panel=WHAT)
    ] = 90,
    venue: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="What it plays: binance, binance_coinm, binance_spot, bitunix, blofin, bybit, deribit or yfinance.",
            rich_help_panel=WHAT,
        ),
    ] = "binance",
    clock_speed: Annotated[
        float,
        typer.Option(
            metavar="X",
            min=0,
            max=100_000,
            help="How fast its clock runs on from the end of the candles; 1 is real time, 0 stands still.",
            rich_help_panel=WHAT,
        ),
    ] = 0.0,
    port: Annotated[
        int,
        typer.Option(
            metavar="N", min=0, max=65535, help="Port to listen on; 0 takes a free one.", rich_help_panel=WHERE
        ),
    ] = 8787,
    budget: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="What it allows: weight a minute of binance and of binance_coinm (2400) and of binance_spot (6000), "
            "requests in 5 s of bybit (600), "
            "in 5 min of blofin (1500), in a second of bitunix (10), "
            "credits a second of deribit (10000), requests a second of yfinance (2).",
            rich_help_panel=TROUBLES,
        ),
    ] = None,
    latency: Annotated[
        float,
        typer.Option(metavar="SECONDS", min=0, max=60, help="What every answer takes.", rich_help_panel=TROUBLES),
    ] = 0.0,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND=SHARE",
            help="Faults, repeatable: 5xx=5%, and so 403 418 429 451 badrow badrow-sticky cut flicker hang html "
            "reset slow; hole=BTCUSDT@2026-02-10T12:00Z+5; late=BTCUSDT@2026-02-10T12:00Z. Of the archive: "
            "archive-KIND=5% or archive-KIND=BTCUSDT@2026-02-10, KIND one of 5xx badrow bomb checksum columns cut "
            "cut-csv doubled empty flaky-checksum header-only microseconds missing missing-day noheader path reset "
            "reversed slow two-members zero-volume.",
            rich_help_panel=TROUBLES,
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(metavar="N", help="Seed of faults and made-up candles.", rich_help_panel=TROUBLES)
    ] = 1,
    prepare_archive: Annotated[
        bool,
        typer.Option(
            "--prepare-archive",
            help="Make the files of its archive before serving, for measurements.",
            rich_help_panel=SETTINGS,
        ),
    ] = False,
    archive_cache: Annotated[
        int,
        typer.Option(
            metavar="MB", min=1, help="Files of its archive to keep once made, at most.", rich_help_panel=SETTINGS
        ),
    ] = 256,
) -> int:
    """Run a faithful local venue on 127.0.0.1, for tests, demonstrations and measurements.

    Binance's public archive of zip files is at the same address. The clock stands still just after the end of the
    candles, so that a range of days works; it can run on, and there are new candles then (made up, also after a
    recording). Stop it with Ctrl-C.
    """
    from laklak.settings.spelling import ALIASES
    from laklak.simulator import ContinuedSource, Simulator, SimulatorSettings, generate, load_recorded, parse_fault
    from laklak.simulator.dialects import DIALECTS

    dialect = DIALECTS.get(ALIASES.get(venue, venue))
    if dialect is None:
        raise UsageError(f"the simulator plays no {quoted(venue)}", hint=f"it plays {', '.join(DIALECTS)}")
    if (recorded is None) == (generated is None):
        raise UsageError("what should it serve?", hint="give one of --recorded DIR and --generated N")
    try:
        source: CandleSource
        if recorded is None:
            source = generate(symbols=generated or 1, days=days, seed=seed, names=dialect.names)
        else:
            source = ContinuedSource(load_recorded(recorded), seed=seed) if clock_speed else load_recorded(recorded)
        settings = SimulatorSettings.of(
            dialect,
            **({} if budget is None else {"budget": budget}),
            port=port,
            latency_s=latency,
            faults=[parse_fault(text) for text in fault or ()],
            seed=seed,
            clock="ticking" if clock_speed else "frozen",
            clock_speed=clock_speed or 1.0,
            record_hits=False,
            archive_prepared=prepare_archive,
            archive_cache_bytes=archive_cache * 1024**2,
        )
        simulator = Simulator(source, settings)
    except (ValueError, OSError) as exc:
        raise UsageError(f"the simulator cannot start: {exc}", hint="laklak simulate --help shows the forms") from None
    run_loop(_serve(simulator, settings, source, going_on=clock_speed > 0))
    return 0


async def _serve(simulator: Simulator, settings: SimulatorSettings, source: CandleSource, *, going_on: bool) -> None:
    """Serve until a signal comes."""
    import asyncio

    from laklak.cli.terminal import emit

    stopped = asyncio.Event()

    def stop() -> None:
        stopped.set()
        simulator.archive.stop_preparing()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    if settings.archive_prepared:
        emit("preparing the archive ...")
    try:
        await simulator.__aenter__()
    except OSError as exc:
        raise UsageError(f"cannot listen on port {settings.port}: {exc.strerror}", hint="use another --port") from None
    try:
        if not stopped.is_set():
            _announce(simulator, source, going_on=going_on)
        await stopped.wait()
    finally:
        await simulator.__aexit__(None, None, None)


def _announce(simulator: Simulator, source: CandleSource, *, going_on: bool) -> None:
    from laklak.cli.terminal import emit
    from laklak.simulator.dialects import DIALECTS

    emit(f"simulator: {simulator.url}", sys.stdout)
    dialect = simulator.settings.dialect
    venue = next(name for name, one in DIALECTS.items() if one is dialect)
    if dialect.archive_root is not None:
        emit(f"archive: {simulator.url}", sys.stdout)
    made = simulator.archive.prepared
    if made is not None:
        emit(f"prepared: {made.files:,} of {made.wanted:,} files, {made.size_bytes / 1024**2:,.1f} MB")
    span = _announce_candles(simulator, source, going_on=going_on)
    names = ["URL"] if dialect.archive_root is None else ["URL", "ARCHIVE_URL"]
    addresses = " ".join(f"LAKLAK_{venue.upper()}_{name}={simulator.url}" for name in names)
    of_venue = "" if venue == "binance" else f"--venue {venue} "
    which = "--all" if len(source.symbols) > _NAMED_AT_MOST else " ".join(source.symbols)
    emit(f"try: {addresses} laklak backfill {of_venue}{which} {span} --store simulated.db")


def _announce_candles(simulator: Simulator, source: CandleSource, *, going_on: bool) -> str:
    """Say which candles it serves; gives the flags that ask for all of them."""
    from laklak.cli.terminal import tell
    from laklak.model.series import MINUTE_MS, iso
    from laklak.simulator import GeneratedSource
    from laklak.simulator.sources.continued import last_open_ms
    from laklak.text import counted, some_of

    symbols = list(source.symbols)
    # Made-up candles are alike in this, and making those of hundreds of symbols takes seconds.
    looked_at = symbols[:_NAMED_AT_MOST] if isinstance(source, GeneratedSource) else symbols
    firsts = [first for symbol in looked_at if (first := simulator.market.first_row_ms(symbol)) is not None]
    last_ms = last_open_ms(source, looked_at, source.end_ms)
    if firsts and last_ms is not None:
        speed = simulator.settings.clock_speed
        clock = (
            f"goes on from there, {speed:g} times real time, with made-up candles" if going_on else "stands still there"
        )
        tell(
            f"serves {counted(len(symbols), 'symbol')} ({some_of(symbols)}), candles from {iso(min(firsts))} to "
            f"{iso(last_ms)}; its clock {clock}"
        )
    start = f"--start {iso(min(firsts))}" if firsts else "--days 1"
    return start if last_ms is None or going_on else f"{start} --end {iso(last_ms + MINUTE_MS)}"
