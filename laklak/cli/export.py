"""`laklak export`: stored candles as files for other programs."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from laklak.cli.choosing import SeriesNames, Stored, chosen_series
from laklak.cli.grouped import OUTPUT, WHAT
from laklak.cli.options import (
    AsJson,
    Config,
    ExistingStore,
    NoProgress,
    Quiet,
    Start,
    option,
    settings_of,
    working_folder,
)
from laklak.cli.work import look, print_json
from laklak.errors import StoreUnavailable, UsageError

if TYPE_CHECKING:
    from laklak.cli.terminal import LivePanel
    from laklak.model.series import Series
    from laklak.transfer.export import ExportReport

_DRAWN_EVERY_S = 0.2


def export(
    series: SeriesNames = None,
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
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="F",
            help="csv, parquet, feather or lp [as --out ends, else csv].",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    layout: Annotated[
        str | None,
        typer.Option(
            metavar="L", help="freqtrade: its folders, names, columns; feather, parquet, json.", rich_help_panel=OUTPUT
        ),
    ] = None,
    out: Annotated[
        str, typer.Option(metavar="WHERE", help="File, folder, or - for a stream.", rich_help_panel=OUTPUT)
    ] = ".",
    store: ExistingStore = None,
    config: Config = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    no_progress: NoProgress = False,
) -> int:
    """Write stored candles into a file for each series, for other programs; asks no venue.

    \b
    laklak export BTCUSDT --format parquet --out candles/
    laklak export BTCUSDT --days 7 --out - | head
    laklak export --stored --format lp --out - | influx write --bucket market_data
    laklak export BTCUSDT --interval 5m --layout freqtrade --out user_data/data

    A file is there once it is whole, and one that was there is kept until then. Whole candles only, sorted.
    Exit status: 0 all is written, 1 the store has nothing of a series in that time, 2 wrong usage, a store that cannot
    be read or a file that cannot be written.
    """
    from laklak.order import old_config_hint, typed_interval, typed_range
    from laklak.transfer.export import STDOUT, Export, ExportJob, format_of

    form = format_of(form, out, layout)
    if as_json and out == STDOUT:
        raise UsageError("--json and --out - would both go to stdout", hint="name a file or a folder with --out")
    settings = settings_of(
        {"days": days, "start": start, "end": end, "interval": interval, "assets": assets, "store": store}
        | {"config": config}
    )
    chosen = chosen_series(series or (), assets, settings, stored=stored)
    job = ExportJob(
        store=settings.store_access,
        series=tuple(chosen),
        typed=assets is None,
        interval=typed_interval(settings),
        wanted=typed_range(settings),
        format=form,
        out=out,
        layout=layout,
    )
    shown = _Shown(drawn=not (quiet or no_progress))
    work = Export(job, shown.tell)
    try:
        report = look(work.run(), json_of="export" if as_json else None, leaving=work.discard)
    except StoreUnavailable as exc:
        if hint := old_config_hint(settings, working_folder()):
            raise StoreUnavailable(str(exc), hint=hint) from exc
        raise
    finally:
        shown.close()
    status = int(bool(report.without or report.left_out) and bool(chosen))
    if as_json:
        print_json(_as_object(report, form, status))
    _say(report, files=not (quiet or as_json), status=status)
    return status


def _say(report: ExportReport, *, files: bool, status: int) -> None:
    from laklak.cli.terminal import say, tell
    from laklak.model.series import iso
    from laklak.text import counted, size_text, some_of

    if files:
        for one in report.files:
            if one.path is not None:
                size = size_text(os.path.getsize(one.path))
                span = f"{iso(one.first_ms)} to {iso(one.last_ms)}"
                made = "" if one.of is None else f", made of those of {one.of.interval}"
                tell(f"{one.path}: {counted(one.candles, 'candle')} of {one.series}{made}, {span}, {size}", sys.stdout)
            elif one.of is not None:
                tell(f"made of {one.of}: the store has no candles of {one.series.interval}")
    if report.left_out:
        some = [f"{series} ({why})" for series, why in report.left_out.items()]
        say("warning", f"left out, since freqtrade has no pair for it: {some_of(some)}")
    if report.without and (status or files):
        names = some_of([str(one) for one in report.without])
        line = f"{report.store} has no candles in this time of {names}"
        say("warning", line) if status else tell(line)


def _as_object(report: ExportReport, form: str, status: int) -> dict[str, Any]:
    from laklak._version import __version__
    from laklak.report.summary import SCHEMA
    from laklak.transfer.export import as_object

    return {
        "schema": SCHEMA,
        "version": __version__,
        "store": report.store,
        "candles": report.candles,
        "files": [as_object(one, form) for one in report.files],
        "without": [str(one) for one in report.without],
        "left_out": [{"series": str(series), "why": why} for series, why in report.left_out.items()],
        "exit": status,
        "error": None,
        "hint": None,
    }


class _Shown:
    """How far it is, drawn on a terminal."""

    def __init__(self, *, drawn: bool) -> None:
        self._drawn = drawn
        self._panel: LivePanel | None = None
        self._next_s = 0.0

    def tell(self, series: Series, candles: int, share: float) -> None:
        from laklak.cli.terminal import LivePanel, bar_of, can_draw

        if not self._drawn or time.monotonic() < self._next_s or not can_draw(sys.stderr):
            return
        self._next_s = time.monotonic() + _DRAWN_EVERY_S
        self._panel = self._panel or LivePanel(sys.stderr)
        words = f"{share:4.0%} {series} {candles:,} candles"
        self._panel.draw(lambda width: bar_of(share, words, width))

    def close(self) -> None:
        if self._panel is not None:
            self._panel.erase()
