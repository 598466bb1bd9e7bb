"""`laklak digest`: what each day of each series is, as a number that anyone can recompute."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from laklak.cli.choosing import LastRunEnd, SeriesNames, Stored, in_store, look_of
from laklak.cli.grouped import OUTPUT
from laklak.cli.options import AsJson, Config, ExistingStore, Start, option
from laklak.cli.work import look, print_json

if TYPE_CHECKING:
    from laklak.audit.digest import DigestReport
    from laklak.stores.base import Store

_BEGIN: Final = re.compile(rb'\{[^{}]*"format": "laklak-digest-')


def digest(
    series: SeriesNames = None,
    days: Annotated[str | None, option("days")] = None,
    start: Start = None,
    end: LastRunEnd = None,
    interval: Annotated[str | None, option("interval")] = None,
    assets: Annotated[str | None, option("assets")] = None,
    stored: Stored = False,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write them into a file, as JSON.", rich_help_panel=OUTPUT)
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Show every day.", rich_help_panel=OUTPUT)] = False,
    store: ExistingStore = None,
    config: Config = None,
    as_json: AsJson = False,
) -> int:
    """Digest the stored candles: SHA-256 of each UTC day of each series, and one of all; asks no venue.

    The same rows give the same digests from every store. Days are taken whole, also where the range cuts them.
    `laklak verify --against FILE` names the days of a store that differ from those of FILE.
    Exit status: 0, or 2 for wrong usage or a store that cannot be read.
    """
    from laklak.report.place import Place, check_place

    if out is not None:
        check_place(out, "--out", _BEGIN, "file of digests")
    flags = {"days": days, "start": start, "end": end, "interval": interval, "assets": assets, "store": store}
    settings, chosen, wanted, of = look_of(series, stored=stored, config=config, **flags)

    async def work(opened: Store) -> DigestReport:
        from laklak.audit.digest import digest_of

        return await digest_of(opened, chosen, wanted, typed=bool(series), interval=of, sums=True)

    report = look(in_store(settings, work), json_of="digest" if as_json else None)
    if out is not None:
        import json

        with Place(out, "--out").whole() as waiting, open(waiting, "w") as file:
            file.write(json.dumps(_as_object(report), indent=1) + "\n")
    if as_json:
        print_json(_as_object(report))
    else:
        _show(report, everything=everything, out=out)
    return 0


def _as_object(report: DigestReport) -> dict[str, Any]:
    from laklak._version import __version__
    from laklak.audit.digest import as_object
    from laklak.report.summary import SCHEMA

    return {
        "schema": SCHEMA,
        "version": __version__,
        **as_object(report),
        "exit": 0,
        "error": None,
        "hint": None,
    }


def _show(report: DigestReport, *, everything: bool, out: Path | None) -> None:
    from laklak.audit.digest import hex_of
    from laklak.cli.terminal import tell
    from laklak.text import counted

    for one in report.series:
        marks = [
            f"{number:,} {name}"
            for name in ("unfinished", "provisional")
            if (number := sum(getattr(day, name) for day in one.days))
        ]
        figures = ", ".join([counted(len(one.days), "day"), counted(one.rows, "row"), *marks])
        tell(f"{hex_of(one.root)}  {one.series}  {figures}", sys.stdout)
        for day in one.days if everything else ():
            marked = "".join(f", {name}" for name in ("unfinished", "provisional") if getattr(day, name))
            tell(f"  {hex_of(day.sha256)}  {day.day}  {counted(day.rows, 'row')}{marked}", sys.stdout)
    tell(f"{hex_of(report.root)}  {report.store}, {len(report.series):,} series", sys.stdout)
    if out is not None:
        tell(f"written to {out}", sys.stderr)
