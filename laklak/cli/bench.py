"""`laklak bench`: how fast it is here."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from laklak.cli.options import settings_of
from laklak.errors import UsageError
from laklak.tasks.process import heed_signals, ignore_signals


def bench(
    quick: Annotated[bool, typer.Option("--quick", help="Less of everything, once: under a minute.")] = False,
    store: Annotated[
        str | None,
        typer.Option(metavar="WHERE", help="Measure beside this store; it is never opened. [a folder of its own]"),
    ] = None,
    config: Annotated[str | None, typer.Option(metavar="FILE", help="Settings file, for --store.")] = None,
    json_file: Annotated[str | None, typer.Option("--json", metavar="FILE", help="Write all figures there.")] = None,
    svg_file: Annotated[str | None, typer.Option("--svg", metavar="FILE", help="Write a picture there.")] = None,
) -> int:
    """Measure how fast a backfill is on this machine, and how near to what is possible.

    A local simulator with all its answers made beforehand is the venue; laklak runs as it always does. Beside it, in
    the same run: the same bytes only fetched, the same rows only written. Every stored value is read back and checked.
    InfluxDB is measured where --store names a server, or where there is an influxd of 1.x to start. Databases and files
    are of its own and are dropped. Nothing but this machine (and the server of --store) is used. Takes a quarter of an
    hour. Exit status: 0, or 1 when a wrong row was stored or something did not run.
    """
    from dataclasses import replace

    from laklak.bench.picture import draw
    from laklak.bench.run import FULL, QUICK, run
    from laklak.bench.table import lines
    from laklak.cli.terminal import emit

    heed_signals(once=True)
    named = None if store is None else settings_of({"store": store, "config": config}).store_access
    targets = [Path(name) for name in (json_file, svg_file) if name is not None]
    for target in targets:
        # Told before the minutes are spent; figures of another run stay until there are new ones.
        is_new = not target.exists()
        _write_file(target, "", mode="a")
        if is_new:
            target.unlink()
    results = run(replace(QUICK if quick else FULL, store=named), lambda line: emit(line))
    # It is over: a signal could only cost the figures now.
    ignore_signals()
    for line in lines(results):
        emit(line, sys.stdout)
    if json_file is not None:
        _write_file(Path(json_file), json.dumps(results.as_json(), indent=1) + "\n")
    if svg_file is not None:
        _write_file(Path(svg_file), draw(results))
    return 0


def _write_file(path: Path, text: str, *, mode: str = "w") -> None:
    try:
        with path.open(mode, encoding="utf-8") as file:
            file.write(text)
    except OSError as exc:
        raise UsageError(f"{path} cannot be written: {exc.strerror or exc}", hint="name another file") from None
