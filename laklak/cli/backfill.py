"""`laklak backfill`: fetch what the store lacks."""

from __future__ import annotations

from functools import partial
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from laklak.cli.grouped import AGAIN, OUTPUT, WHAT
from laklak.cli.options import (
    AsJson,
    Config,
    Force,
    NoProgress,
    OtherAddress,
    Quiet,
    Verbose,
    settings_of,
    takes_settings,
    working_folder,
)
from laklak.cli.work import perform, start_log
from laklak.errors import UsageError

if TYPE_CHECKING:
    from laklak.cli.terminal import Terminal
    from laklak.settings.order import Order


_LOOKBACK: Final = typer.Option(metavar="TIME", help="How far back, up to whole days [168h].", rich_help_panel=WHAT)


@takes_settings
def backfill(
    symbols: Annotated[
        list[str] | None,
        typer.Argument(metavar="SYMBOL", help="Symbols, or VENUE:SYMBOL; without any the asset list says which."),
    ] = None,
    every: Annotated[
        bool,
        typer.Option(
            "--all",
            help="Every perpetual (of a spot market: pair) that the venue trades, and what the store holds of it.",
            rich_help_panel=WHAT,
        ),
    ] = False,
    quote: Annotated[
        str | None,
        typer.Option(metavar="USDT", help="Of --all, only what is quoted in this.", rich_help_panel=WHAT),
    ] = None,
    again: Annotated[
        str | None,
        typer.Option(
            "--every", metavar="TIME", help="Again and again until stopped, by the clock: 30m.", rich_help_panel=AGAIN
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
    **flags: str | None,
) -> int:
    """Fetch every candle that is missing from the store.

    \b
    laklak backfill --days 90
    laklak backfill BTCUSDT ETHUSDT --start 2026-01-01 --store candles.db
    laklak backfill --days 2 --every 30m
    """
    from laklak.cli.terminal import Terminal
    from laklak.order import order
    from laklak.report.told import Told, ToldBook

    rhythm = None
    if again is not None:
        from laklak.cli.every import check_store, repeat, rhythm_of

        rhythm = rhythm_of(again, dry_run=dry_run, refetch=refetch, forget_ban=forget_ban)
    settings = settings_of({**flags, "config": config})
    told: Told | None = None
    if rhythm is not None:
        told = Told()
    elif quiet:
        job = ("backfill", settings.store, settings.interval.name, *_told_of(symbols, settings.assets, every, quote))
        told = ToldBook(settings.state_dir, [str(working_folder()), *job])
    if rhythm is not None:
        check_store(settings.store_access)
    terminal = Terminal(quiet=quiet, progress=not no_progress, told=told)
    start_log("backfill", settings, terminal, verbose=verbose)
    make = partial(
        order,
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
    if rhythm is not None:
        return repeat(make, rhythm, terminal, as_json=as_json, quiet=quiet)
    return _carry_out(make(), terminal, as_json=as_json, quiet=quiet)


def fill(**given: Any) -> int:
    """Fetch what is missing of the last seven days: `backfill --days 7` by a shorter name.

    \b
    laklak fill --every 30m
    laklak fill BTCUSDT --lookback 48h
    """
    lookback = given.pop("lookback")
    if lookback is not None and given["days"] is not None:
        raise UsageError("--lookback and --days exclude each other", hint="give one of them")
    if given["days"] is None:
        from laklak.order import days_of

        given["days"] = str(days_of(lookback or "168h"))
    return backfill(**given)


# typer asks for the signature: that of a backfill, but for the flags of a fixed range, and one flag more.
fill.__signature__ = signature(backfill).replace(  # type: ignore[attr-defined]
    parameters=[
        Parameter("lookback", Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[str | None, _LOOKBACK]),
        *(one for one in signature(backfill).parameters.values() if one.name not in ("start", "end")),
    ]
)


def _told_of(symbols: list[str] | None, assets: str | None, every: bool, quote: str | None) -> list[str]:
    """What tells one job from another."""
    if every:
        return ["all", quote or ""]
    return symbols or ["list", assets or ""]


def _carry_out(ordered: Order, terminal: Terminal, *, as_json: bool, quiet: bool) -> int:
    from laklak.engine import Backfill
    from laklak.report.summary import summarise

    work = Backfill(ordered, terminal)
    return perform(work, terminal, lambda exc: summarise(work.report, error=exc), as_json=as_json, quiet=quiet)
