"""`laklak runs`: what runs did, what they filled of what was missing, and what failed."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from laklak.cli.choosing import in_store
from laklak.cli.grouped import WHAT
from laklak.cli.options import AsJson, Config, ExistingStore, option, settings_of
from laklak.cli.work import look, print_json

if TYPE_CHECKING:
    from laklak.model.records import GapFill, RunRecord
    from laklak.stores.base import Store

_LAST: Final = 20
_FILLS_SHOWN: Final = 10


def runs(
    last: Annotated[
        int, typer.Option(min=1, max=1_000_000, metavar="N", help="So many of the newest runs.", rich_help_panel=WHAT)
    ] = _LAST,
    series: Annotated[
        str | None,
        typer.Option(
            metavar="S", help="Only what filled this series or symbol, or failed at it.", rich_help_panel=WHAT
        ),
    ] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Only what did not succeed.", rich_help_panel=WHAT)] = False,
    interval: Annotated[str | None, option("interval")] = None,
    store: ExistingStore = None,
    config: Config = None,
    as_json: AsJson = False,
) -> int:
    """Show the newest runs, the newest first, and what each filled that had been missed before.

    Exit status: 0, whatever became of the runs; 2 wrong usage or a store that cannot be read.
    """
    from laklak.settings.typed import typed_series
    from laklak.stores import shown_store

    settings = settings_of({"interval": interval, "store": store, "config": config})
    wanted = None if series is None else typed_series(series, settings)

    async def work(opened: Store) -> list[RunRecord]:
        from laklak.audit.runs import runs_of

        return await runs_of(opened, last, series=wanted, failed=failed)

    found = look(in_store(settings, work), json_of="runs" if as_json else None)
    if as_json:
        _print_object(shown_store(settings.store), found)
    else:
        _print_lines(found)
    return 0


def _print_object(store: str, found: Sequence[RunRecord]) -> None:
    from laklak._version import __version__
    from laklak.report.summary import SCHEMA

    told = [_run_object(run) for run in found]
    print_json({"schema": SCHEMA, "version": __version__, "store": store, "runs": told, "error": None, "hint": None})


def _run_object(run: RunRecord) -> dict[str, Any]:
    from laklak.model.series import iso

    times = {"started": run.started_ms, "ended": run.ended_ms, "range_start": run.start_ms, "range_end": run.end_ms}
    return {
        **{name: iso(time_ms // 1000 * 1000) for name, time_ms in times.items()},
        **run.facts,
        "fills": [_fill_object(one, run.interval) for one in run.fills],
    }


def _fill_object(fill: GapFill, interval: str) -> dict[str, Any]:
    from laklak.model.series import iso

    return {
        "series": f"{fill.venue}:{fill.symbol}:{interval}",
        "range_start": iso(fill.start_ms),
        "range_end": iso(fill.end_ms),
        "coverage_before": fill.before,
        "coverage_after": fill.after,
        "requests": fill.requests,
        "rows": fill.rows,
        "error": fill.error,
    }


def _print_lines(found: Sequence[RunRecord]) -> None:
    from laklak.cli.terminal import tell

    for line in _lines(found) if found else ["no such run is remembered"]:
        tell(line, sys.stdout)


def _lines(found: Sequence[RunRecord]) -> Iterator[str]:
    from laklak.model.series import iso
    from laklak.text import counted, duration_text, share_text

    for run in found:
        started = iso(run.started_ms // 1000 * 1000)
        took = duration_text((run.ended_ms - run.started_ms) / 1000)
        error = f": {run.error}" if run.error else ""
        yield (
            f"{started}  {run.result}{error}, {took}; {counted(run.series, 'series')} of {run.interval}, "
            f"{iso(run.start_ms)} to {iso(run.end_ms)}; wanted {run.account.wanted:,}, written "
            f"{run.account.written:,}, missing {run.account.missing:,}; {counted(run.requests, 'request')}"
        )
        for fill in run.fills[:_FILLS_SHOWN]:
            name = f"{fill.venue}:{fill.symbol}:{run.interval}"
            shares = f"{share_text(fill.before)} to {share_text(fill.after)}"
            asked = f"{fill.requests:,} request{' or file' if fill.requests == 1 else 's and files'}"
            rows = f"{counted(fill.rows, 'row')}, {asked}"
            failure = "" if fill.error in (None, run.error) else f"; {fill.error}"
            yield f"  {name}  coverage {shares}, {rows}{failure}"
        if len(run.fills) > _FILLS_SHOWN:
            yield f"  and {len(run.fills) - _FILLS_SHOWN:,} more; --json names them all"
