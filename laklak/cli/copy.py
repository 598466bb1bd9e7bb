"""`laklak copy`: from one store to another."""

from __future__ import annotations

from typing import Annotated

import typer

from laklak.cli.grouped import AGAIN, SPEED
from laklak.cli.options import (
    AsJson,
    Config,
    Force,
    LogFile,
    NoProgress,
    OtherAddress,
    Quiet,
    Verbose,
    settings_of,
    working_folder,
)
from laklak.cli.work import transfer


def copy(
    source: Annotated[str, typer.Argument(metavar="SRC", help="Store to copy from; it is only read.")],
    destination: Annotated[str, typer.Argument(metavar="DST", help="Store to copy to; made where there is none.")],
    series: Annotated[
        list[str] | None,
        typer.Argument(metavar="SERIES", help="Series like binance:BTCUSDT:1m, or symbols; else all of them."),
    ] = None,
    config: Config = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
    no_progress: NoProgress = False,
    verbose: Verbose = False,
    log_file: LogFile = None,
    max_wait: Annotated[
        str | None, typer.Option(metavar="TIME", help="Longest wait for a server [10m].", rich_help_panel=SPEED)
    ] = None,
    force: Force = False,
    within_retention: Annotated[
        bool,
        typer.Option("--within-retention", help="Leave out what DST's retention would drop.", rich_help_panel=AGAIN),
    ] = False,
    other_address: OtherAddress = False,
) -> int:
    """Copy candles, holes and rejects that one store has and another lacks. No venue is asked.

    \b
    laklak copy candles.db influxdb://me@localhost/market_data
    laklak copy influxdb://localhost/market_data btc.db binance:BTCUSDT:1m

    LAKLAK_INFLUXDB_PASSWORD (or LAKLAK_INFLUXDB_TOKEN) counts for both stores.
    """
    from laklak.cli.terminal import Terminal
    from laklak.engine import Transfer
    from laklak.order import copy_job
    from laklak.report.told import ToldBook
    from laklak.settings.load import check_typed_store
    from laklak.wire.client import no_proxy_warning

    check_typed_store(source, "SRC")
    check_typed_store(destination, "DST")
    settings = settings_of({"log_file": log_file, "config": config, "max_wait": max_wait})
    told = None
    if quiet:
        told = ToldBook(settings.state_dir, [str(working_folder()), "copy", source, destination, *(series or ())])
    terminal = Terminal(quiet=quiet, progress=not no_progress, told=told)
    job = copy_job(
        source,
        destination,
        series or None,
        settings,
        force=force,
        within_retention=within_retention,
        other_address=other_address,
    )
    # Only a server that is asked by TLS is asked through a proxy.
    doubt = no_proxy_warning() if "+https://" in f"{source} {destination}".lower() else None
    return transfer(
        Transfer(job, terminal), settings, terminal, verbose=verbose, as_json=as_json, quiet=quiet, warning=doubt
    )
