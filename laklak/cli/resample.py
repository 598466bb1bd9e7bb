"""`laklak resample`: longer candles of held ones, in another store."""

from __future__ import annotations

import re
from typing import Annotated, Final

import typer

from laklak.cli.choosing import Stored, chosen_series
from laklak.cli.grouped import AGAIN, HOW, SPEED, WHAT, WHERE
from laklak.cli.options import (
    AsJson,
    Config,
    ExistingStore,
    Force,
    LogFile,
    NoProgress,
    OtherAddress,
    Quiet,
    Start,
    Verbose,
    option,
    settings_of,
)
from laklak.cli.work import transfer

_LENGTH: Final = re.compile(r"\d+[smhdwM]")


def resample(
    what: Annotated[
        list[str],
        typer.Argument(metavar="INTERVAL|SERIES...", help="Intervals to make; series or symbols, else all stored."),
    ],
    to: Annotated[
        str,
        typer.Option("--to", metavar="WHERE", help="Another store; made where there is none.", rich_help_panel=WHERE),
    ],
    days: Annotated[
        str | None, typer.Option(metavar="N", help="So many days before the end.", rich_help_panel=WHAT)
    ] = None,
    start: Start = None,
    end: Annotated[
        str | None,
        typer.Option(metavar="T", help="Moment to stop before [where a series ends].", rich_help_panel=WHAT),
    ] = None,
    interval: Annotated[str | None, option("interval")] = None,
    assets: Annotated[str | None, option("assets")] = None,
    stored: Stored = False,
    store: ExistingStore = None,
    config: Config = None,
    force: Force = False,
    within_retention: Annotated[
        bool,
        typer.Option("--within-retention", help="Leave out what its retention would drop.", rich_help_panel=AGAIN),
    ] = False,
    other_address: OtherAddress = False,
    verify: Annotated[
        str | None,
        typer.Option(metavar="N|all", help="Ask venues for their own, of N days of each series.", rich_help_panel=HOW),
    ] = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
    no_progress: NoProgress = False,
    verbose: Verbose = False,
    log_file: LogFile = None,
    max_wait: Annotated[
        str | None, typer.Option(metavar="TIME", help="Longest wait for a server [10m].", rich_help_panel=SPEED)
    ] = None,
) -> int:
    """Make longer candles of stored ones and write them into another store. Without --verify no venue is asked.

    \b
    laklak resample 5m 15m 1h 4h 1d --to longer.db
    laklak resample 1h BTCUSDT --to influxdb://localhost/longer

    A candle is made where each shorter one is held or quiet, and at least one is held; others are told. One that was
    made before is made again where shorter ones have other values by now. --days, --start and --end say of which time.
    --verify names each that differs from the venue's own, with both rows, and makes the exit status 1.
    """
    from laklak.cli.terminal import Terminal
    from laklak.cli.verify import sample_of, show_verified
    from laklak.engine import Transfer
    from laklak.order import TIMING, resample_job
    from laklak.settings.load import check_typed_store

    check_typed_store(to, "--to")
    lengths = [word for word in what if _LENGTH.fullmatch(word)]
    names = [word for word in what if not _LENGTH.fullmatch(word)]
    sample = sample_of(verify, "--verify")
    settings = settings_of(
        {"log_file": log_file, "config": config, "max_wait": max_wait, "store": store, "interval": interval}
        | {"assets": assets, "days": days, "start": start, "end": end}
    )
    job = resample_job(
        to,
        lengths,
        chosen_series(names, assets, settings, stored=stored),
        settings,
        force=force,
        within_retention=within_retention,
        other_address=other_address,
    )
    terminal = Terminal(quiet=quiet, progress=not no_progress)
    work = Transfer(job, terminal)
    if sample is not None:
        from laklak.audit.made import VerifiedTransfer

        asking = Terminal(quiet=True, progress=False)
        work = VerifiedTransfer(job, terminal, sample, settings, TIMING, asking)
    status = transfer(work, settings, terminal, verbose=verbose, as_json=as_json, quiet=quiet)
    verified = getattr(work, "verified", None)
    if verified is not None and not as_json and (verified.exit or not quiet):
        show_verified(verified, everything=False, sampled=True)
    return status
