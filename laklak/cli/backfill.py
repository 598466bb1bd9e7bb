"""`laklak backfill`: fetch what the store lacks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from laklak.cli.grouped import AGAIN, OUTPUT, SETTINGS, SPEED, WHAT, WHERE
from laklak.cli.options import (
    AsJson,
    Config,
    Force,
    LogFile,
    NoProgress,
    OtherAddress,
    Quiet,
    Start,
    Verbose,
    settings_of,
    working_folder,
)
from laklak.cli.work import perform, start_log

if TYPE_CHECKING:
    from laklak.cli.terminal import Terminal
    from laklak.order import Order


def backfill(
    symbols: Annotated[
        list[str] | None,
        typer.Argument(metavar="SYMBOL", help="Symbols, or VENUE:SYMBOL; without any the asset list says which."),
    ] = None,
    days: Annotated[
        str | None, typer.Option(metavar="N", help="So many times 24 hours before the end.", rich_help_panel=WHAT)
    ] = None,
    start: Start = None,
    end: Annotated[
        str | None, typer.Option(metavar="T", help="Moment to stop before [now].", rich_help_panel=WHAT)
    ] = None,
    every: Annotated[
        bool,
        typer.Option(
            "--all",
            help="Every perpetual that the venue trades, and what the store holds of it.",
            rich_help_panel=WHAT,
        ),
    ] = False,
    quote: Annotated[
        str | None,
        typer.Option(metavar="USDT", help="Of --all, only what is quoted in this.", rich_help_panel=WHAT),
    ] = None,
    assets: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Asset list; else assets.txt here or beside the settings file, else the packaged one.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    interval: Annotated[
        str | None, typer.Option(metavar="1m..1d", help="Length of a candle [1m].", rich_help_panel=WHAT)
    ] = None,
    venue: Annotated[
        str | None, typer.Option(metavar="VENUE", help="Venue of bare symbols [binance].", rich_help_panel=WHAT)
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(
            metavar="WHERE", help="SQLite file, or influxdb://HOST/DATABASE [laklak.db].", rich_help_panel=WHERE
        ),
    ] = None,
    config: Config = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", "-n", help="Show the plan and its time; fetch nothing.", rich_help_panel=OUTPUT),
    ] = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
    no_progress: NoProgress = False,
    verbose: Verbose = False,
    log_file: LogFile = None,
    source: Annotated[
        str | None,
        typer.Option(
            metavar="auto|rest|archive",
            help="The API, the venue's bulk files, or the better one [auto].",
            rich_help_panel=SPEED,
        ),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            metavar="N|50%|max",
            help="Weight a minute to use, the venue's price of requests; max is all it allows [1200]. "
            "For several: VENUE=N,VENUE=50%.",
            rich_help_panel=SPEED,
        ),
    ] = None,
    chunk: Annotated[
        str | None,
        typer.Option(
            metavar="N|auto",
            help="Candles a request; auto is the cheapest by weight [1000]. For several: VENUE=N,VENUE=auto.",
            rich_help_panel=SPEED,
        ),
    ] = None,
    max_wait: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Longest wait for a ban, a limit, or a store that is down [10m].",
            rich_help_panel=SPEED,
        ),
    ] = None,
    refetch: Annotated[
        bool, typer.Option("--refetch", help="Fetch what is stored too, and overwrite it.", rich_help_panel=AGAIN)
    ] = False,
    recheck: Annotated[
        bool, typer.Option("--recheck", help="Ask known holes and rejects again.", rich_help_panel=AGAIN)
    ] = False,
    force: Force = False,
    within_retention: Annotated[
        bool,
        typer.Option(
            "--within-retention",
            help="Leave out what the InfluxDB retention policy would drop.",
            rich_help_panel=AGAIN,
        ),
    ] = False,
    other_address: OtherAddress = False,
    forget_ban: Annotated[
        bool,
        typer.Option(
            "--forget-ban",
            help="Forget a ban that an earlier run was told; a real one gets longer.",
            rich_help_panel=AGAIN,
        ),
    ] = False,
    archive_connections: Annotated[
        str | None, typer.Option(metavar="N", help="Bulk files fetched at once [32].", rich_help_panel=SETTINGS)
    ] = None,
    workers: Annotated[
        str | None, typer.Option(metavar="N", help="Requests at once [16].", rich_help_panel=SETTINGS)
    ] = None,
    batch_size: Annotated[
        str | None,
        typer.Option(metavar="N", help="Rows written at once, at most [20000].", rich_help_panel=SETTINGS),
    ] = None,
) -> int:
    """Fetch every candle that is missing from the store.

    \b
    laklak backfill --days 90
    laklak backfill BTCUSDT ETHUSDT --start 2026-01-01 --store candles.db
    """
    from laklak.cli.terminal import Terminal
    from laklak.order import order
    from laklak.report.told import ToldBook

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
    settings = settings_of(flags)
    told = None
    if quiet:
        job = ("backfill", settings.store, settings.interval, *_told_of(symbols, settings.assets, every, quote))
        told = ToldBook(settings.state_dir, [str(working_folder()), *job])
    terminal = Terminal(quiet=quiet, progress=not no_progress, told=told)
    start_log("backfill", settings, terminal, verbose=verbose)
    ordered = order(
        symbols or None,
        settings,
        folder=working_folder(),
        every=every,
        quote=quote,
        refetch=refetch,
        recheck=recheck,
        force=force,
        dry_run=dry_run,
        within_retention=within_retention,
        other_address=other_address,
        forget_ban=forget_ban,
    )
    return _carry_out(ordered, terminal, as_json=as_json, quiet=quiet)


def _told_of(symbols: list[str] | None, assets: str | None, every: bool, quote: str | None) -> list[str]:
    """What tells one job from another."""
    if every:
        return ["all", quote or ""]
    return symbols or ["list", assets or ""]


def _carry_out(ordered: Order, terminal: Terminal, *, as_json: bool, quiet: bool) -> int:
    from laklak.engine import Backfill
    from laklak.report.summary import summarise

    work = Backfill(ordered.job, terminal, notes=ordered.notes, warnings=ordered.warnings)
    return perform(work, terminal, lambda exc: summarise(work.report, error=exc), as_json=as_json, quiet=quiet)
