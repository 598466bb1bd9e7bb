"""`laklak show`: stored candles, and where they came from."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from laklak.cli.grouped import OUTPUT, WHAT
from laklak.cli.options import AsJson, Config, ExistingStore, Start, option, settings_of, working_folder
from laklak.cli.work import look, print_json
from laklak.errors import NothingInRange, StoreUnavailable, UsageError

if TYPE_CHECKING:
    from laklak.model.series import Series, TimeRange
    from laklak.settings.load import Settings

_LAST = 5


def show(
    series: Annotated[str, typer.Argument(metavar="SERIES", help="A series like binance:BTCUSDT:1m, or a symbol.")],
    last: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=10_000_000,
            metavar="N",
            help="So many of the newest candles [5; of a range all].",
            rich_help_panel=WHAT,
        ),
    ] = None,
    first: Annotated[
        int | None,
        typer.Option(min=1, max=10_000_000, metavar="N", help="So many of the oldest candles.", rich_help_panel=WHAT),
    ] = None,
    start: Start = None,
    end: Annotated[str | None, typer.Option(metavar="T", help="Moment to stop before.", rich_help_panel=WHAT)] = None,
    provenance: Annotated[
        bool,
        typer.Option("--provenance", help="Say which source gave which stretch, in which runs.", rich_help_panel=WHAT),
    ] = False,
    interval: Annotated[str | None, option("interval")] = None,
    store: ExistingStore = None,
    config: Config = None,
    as_json: AsJson = False,
    as_csv: Annotated[
        bool,
        typer.Option("--csv", help="Print CSV: open_time,time,open,high,low,close,volume.", rich_help_panel=OUTPUT),
    ] = False,
) -> int:
    """Show stored candles of a series: the newest, the oldest, or those of a range.

    \b
    laklak show BTCUSDT --last 60
    laklak show BTCUSDT --start 2026-01-01 --end 2026-02-01 --csv > january.csv
    laklak show BTCUSDT --interval 1h
    laklak show BTCUSDT --provenance

    Where only shorter candles are stored, longer ones are made of them.
    """
    from laklak.order import old_config_hint
    from laklak.settings.typed import typed_series

    _refuse_contradictions(first, last, provenance=provenance, as_json=as_json, as_csv=as_csv)
    span = _span(start, end)
    settings = settings_of({"store": store, "config": config, "interval": interval})
    wanted = typed_series(series, settings)
    if last is None and first is None and start is None and end is None:
        last = _LAST
    try:
        if provenance:
            return _show_provenance(settings, wanted, span, as_json=as_json)
        return _show_candles(settings, wanted, span, first=first, last=last, as_json=as_json, as_csv=as_csv)
    except StoreUnavailable as exc:
        if hint := old_config_hint(settings, working_folder()):
            raise StoreUnavailable(str(exc), hint=hint) from exc
        raise


def _refuse_contradictions(
    first: int | None, last: int | None, *, provenance: bool, as_json: bool, as_csv: bool
) -> None:
    if first is not None and last is not None:
        raise UsageError("--first and --last exclude each other", hint="give one")
    if as_json and as_csv:
        raise UsageError("--json and --csv exclude each other", hint="give one")
    if provenance and (as_csv or first is not None or last is not None):
        raise UsageError("--provenance is no candles: no --first, --last or --csv", hint="--start and --end cut it")


def _show_candles(
    settings: Settings,
    series: Series,
    span: TimeRange,
    *,
    first: int | None,
    last: int | None,
    as_json: bool,
    as_csv: bool,
) -> int:
    from laklak.cli.terminal import emit_lines, tell
    from laklak.report.rows import candle_lines, candle_objects, csv_lines
    from laklak.stores import shown_store
    from laklak.stores.reading import stored_candles

    of: list[Series] = []
    asked = stored_candles(settings.store_access, series, span, first=first, last=last, made_of=of.append)
    columns = look(asked, json_of="show" if as_json else None)
    if not columns.open_times:
        raise NothingInRange(
            f"no candles of {series} in this time in {shown_store(settings.store)}"
            + "".join(f", and none can be made of {one}" for one in of),
            hint=f"laklak show {series} --first 1 and --last 1 say where it begins and ends",
        )
    for one in of:
        tell(f"made of {one}: the store has no candles of {series.interval}", sys.stderr)
    if as_json:
        _print_answer(settings, series, "candles", candle_objects(columns))
    else:
        emit_lines(csv_lines(columns) if as_csv else candle_lines(series, columns), sys.stdout)
    return 0


def _show_provenance(settings: Settings, series: Series, span: TimeRange, *, as_json: bool) -> int:
    from laklak.cli.terminal import emit_lines
    from laklak.report.rows import provenance_lines, provenance_objects
    from laklak.stores.reading import stored_provenance

    asked = stored_provenance(settings.store_access, series, span)
    stretches = look(asked, json_of="show" if as_json else None)
    if as_json:
        _print_answer(settings, series, "provenance", provenance_objects(stretches))
    else:
        lines = (
            provenance_lines(series, stretches)
            if stretches
            else [f"{series}: nobody has noted where its candles came from"]
        )
        emit_lines(lines, sys.stdout)
    return 0


def _print_answer(settings: Settings, series: Series, name: str, objects: object) -> None:
    from laklak._version import __version__
    from laklak.report.summary import SCHEMA
    from laklak.stores import shown_store

    where = {"series": str(series), "store": shown_store(settings.store)}
    print_json({"schema": SCHEMA, "version": __version__, **where, name: objects, "error": None, "hint": None})


def _span(start: str | None, end: str | None) -> TimeRange:
    from laklak.model.series import TimeRange
    from laklak.settings.times import parse_time
    from laklak.stores.reading import ALWAYS

    start_ms = ALWAYS.start_ms if start is None else parse_time(start)
    end_ms = ALWAYS.end_ms if end is None else parse_time(end)
    if start_ms >= end_ms:
        raise UsageError(f"start {start} is not before end {end}", hint="the end itself is not included")
    return TimeRange(start_ms, end_ms)
