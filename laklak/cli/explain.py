"""`laklak explain`: why a candle is there or is not."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from laklak.cli.choosing import in_store
from laklak.cli.options import AsJson, Config, ExistingStore, option, settings_of
from laklak.cli.work import look, print_json

if TYPE_CHECKING:
    from laklak.audit.explain import Explanation
    from laklak.stores.base import Store


def explain(
    series: Annotated[str, typer.Argument(metavar="SERIES", help="A series like binance:BTCUSDT:1m, or a symbol.")],
    time: Annotated[str, typer.Argument(metavar="T", help="When the candle opens; no offset means UTC.")],
    interval: Annotated[str | None, option("interval")] = None,
    store: ExistingStore = None,
    config: Config = None,
    as_json: AsJson = False,
) -> int:
    """Say what became of one candle: held, a hole, not fetched and so on, and what speaks for it; asks no venue.

    \b
    laklak explain BTCUSDT 2026-01-03T04:05
    laklak explain binance:BTCUSDT:5m 2026-01-03T04:05 --json

    Exit status: 0 it is there, or it is known why not; 1 it is missing, and another run could get it; 2 wrong usage
    or a store that cannot be read.
    """
    from laklak.order import typed_minute

    settings = settings_of({"interval": interval, "store": store, "config": config})
    wanted, open_ms = typed_minute(series, time, settings)

    async def work(opened: Store) -> Explanation:
        from laklak.audit.explain import explain_minute

        return await explain_minute(opened, wanted, open_ms)

    found = look(in_store(settings, work), json_of="explain" if as_json else None)
    if as_json:
        _print_object(found)
    else:
        _print_lines(found)
    return found.exit


def _print_object(found: Explanation) -> None:
    from laklak._version import __version__
    from laklak.audit.explain import as_object
    from laklak.report.summary import SCHEMA

    answer = {"schema": SCHEMA, "version": __version__, "store": found.store, **as_object(found)}
    print_json({**answer, "exit": found.exit, "error": None, "hint": None})


def _print_lines(found: Explanation) -> None:
    from laklak.audit.explain import explanation_lines
    from laklak.cli.terminal import emit_lines

    emit_lines(explanation_lines(found), sys.stdout)
