"""`laklak simulate`: a local venue."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from laklak.errors import UsageError
from laklak.process import run_loop

if TYPE_CHECKING:
    from laklak.simulator import Simulator, SimulatorSettings


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

    Its public archive of zip files is at the same address. Its clock stands still just after the end of the candles, so
    that --days works. Stop it with Ctrl-C.
    """
    from laklak.simulator import Simulator, SimulatorSettings, generate, load_recorded, parse_fault

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
    run_loop(_serve(simulator, settings, try_with=next(iter(source.symbols))))
    return 0


async def _serve(simulator: Simulator, settings: SimulatorSettings, *, try_with: str) -> None:
    """Serve until a signal comes."""
    import asyncio

    from laklak.terminal import emit

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
            _announce(simulator, try_with)
        await stopped.wait()
    finally:
        await simulator.__aexit__(None, None, None)


def _announce(simulator: Simulator, try_with: str) -> None:
    from laklak.terminal import emit

    emit(f"simulator: {simulator.url}", sys.stdout)
    emit(f"archive: {simulator.url}", sys.stdout)
    made = simulator.archive.prepared
    if made is not None:
        emit(f"prepared: {made.files:,} of {made.wanted:,} files, {made.size_bytes / 1024**2:,.1f} MB")
    addresses = f"LAKLAK_BINANCE_URL={simulator.url} LAKLAK_BINANCE_ARCHIVE_URL={simulator.url}"
    emit(f"try: {addresses} laklak backfill {try_with} --days 1 --store simulated.db")
