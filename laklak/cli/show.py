"""`laklak show`: the newest stored candles."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from laklak.cli.options import Config, ExistingStore, settings_of
from laklak.cli.work import look
from laklak.errors import StoreError


def show(
    series: Annotated[str, typer.Argument(metavar="SERIES", help="A series like binance:BTCUSDT:1m, or a symbol.")],
    last: Annotated[int, typer.Option(min=1, max=100_000, metavar="N", help="How many of the newest candles.")] = 5,
    store: ExistingStore = None,
    config: Config = None,
) -> int:
    """Show the newest stored candles of a series."""
    from laklak.api import stored_candles, typed_series
    from laklak.terminal import emit
    from laklak.text import mask_url
    from laklak.wording import candle_lines

    settings = settings_of({"store": store, "config": config})
    wanted = typed_series(series, settings)
    columns = look(stored_candles(settings.store_access, wanted, last=last))
    if not columns.open_times:
        raise StoreError(
            f"no candles of {wanted} in {mask_url(settings.store)}",
            hint=f"fetch them first: laklak backfill {wanted.venue}:{wanted.symbol} --interval {wanted.interval} "
            f"--days 1 --store {mask_url(settings.store)}",
        )
    for line in candle_lines(wanted, columns):
        emit(line, sys.stdout)
    return 0
