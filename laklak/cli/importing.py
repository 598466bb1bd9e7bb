"""`laklak import`: candles from files into a store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from laklak.cli.grouped import AGAIN, SPEED, WHAT
from laklak.cli.options import (
    AsJson,
    Config,
    Force,
    LogFile,
    NoProgress,
    Quiet,
    Verbose,
    option,
    settings_of,
)
from laklak.cli.work import transfer
from laklak.errors import UsageError


def import_files(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="CSV, Parquet, Feather, line protocol, Binance's zips.")
    ],
    series: Annotated[
        str | None,
        typer.Option(metavar="SERIES", help="What all files are of [as they say].", rich_help_panel=WHAT),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(metavar="OURS=THEIRS,...", help="Other names: open_time=ts,volume=vol.", rich_help_panel=WHAT),
    ] = None,
    precision: Annotated[
        str, typer.Option(metavar="UNIT", help="Of line protocol: ns, us, ms or s.", rich_help_panel=WHAT)
    ] = "ns",
    venue: Annotated[str | None, option("venue")] = None,
    store: Annotated[str | None, option("store")] = None,
    config: Config = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Put other values in place of stored ones.", rich_help_panel=AGAIN)
    ] = False,
    force: Force = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
    no_progress: NoProgress = False,
    verbose: Verbose = False,
    log_file: LogFile = None,
    max_wait: Annotated[
        str | None, typer.Option(metavar="TIME", help="Longest wait for a server [10m].", rich_help_panel=SPEED)
    ] = None,
) -> int:
    """Store candles from files: what laklak export has written, and Binance's own zips and CSVs.

    \b
    laklak import binance-BTCUSDT-1m.parquet
    laklak import BTCUSDT-1m-2024-05.zip --venue binance_spot
    laklak import mine.csv --series binance:BTCUSDT:1m --columns open_time=ts,volume=vol
    laklak import dump.lp --precision ms

    Every row is held to the same rules as the answer of a venue. What is stored stays as it is without --replace.
    """
    from laklak.cli.terminal import Terminal
    from laklak.engine import Transfer
    from laklak.order import import_job

    settings = settings_of(
        {"log_file": log_file, "config": config, "max_wait": max_wait, "store": store, "venue": venue}
    )
    job = import_job(
        files,
        settings,
        series=series,
        columns=None if columns is None else _columns(columns),
        precision=precision,
        replace=replace,
        force=force,
    )
    terminal = Terminal(quiet=quiet, progress=not no_progress)
    work = Transfer(job, terminal)
    return transfer(work, settings, terminal, verbose=verbose, as_json=as_json, quiet=quiet)


def _columns(text: str) -> dict[str, str]:
    """The names of columns in files, from those that were typed; UsageError for one that is said twice."""
    pairs = [pair.partition("=") for pair in text.split(",")]
    found = {ours.strip(): theirs.strip() for ours, _, theirs in pairs}
    if len(found) < len(pairs):
        raise UsageError(f"--columns {text} names one of ours twice", hint="write open_time=ts,volume=vol")
    return found
