"""`laklak check`: look for what is wrong."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from laklak.cli.options import AsJson, Config, ExistingStore, settings_of, working_folder
from laklak.cli.work import look, print_json
from laklak.errors import LaklakError

if TYPE_CHECKING:
    from laklak.engine import Check
    from laklak.model.findings import Checkup


def check(
    store: ExistingStore = None,
    venue: Annotated[str | None, typer.Option(metavar="VENUE", help="Look at this venue only [binance].")] = None,
    config: Config = None,
    as_json: AsJson = False,
) -> int:
    """Look for what is wrong: settings, asset list, store, venue and bulk files; nothing is made or changed.

    Costs the venue two small requests, none during a ban, its file server a few, and an InfluxDB server up to 4 s of
    reading points, the newest months first, for those that are no candles. Ends within 15 s, unless a slow line keeps
    bringing answers.
    Exit status: 0, or 2 when a backfill could not run.
    """
    from laklak import order
    from laklak.engine.check import versions
    from laklak.model.findings import Checkup

    try:
        found = order.check(settings_of({"store": store, "venue": venue, "config": config}), folder=working_folder())
    except LaklakError as exc:
        _show_settings((), as_json=as_json)
        checkup = Checkup.without_look(versions(), exc)
        _show_findings(checkup, as_json=as_json)
        return checkup.exit
    return look(_look_and_show(found, as_json=as_json), json_of="check" if as_json else None)


async def _look_and_show(check: Check, *, as_json: bool) -> int:
    _show_settings(check.settings, as_json=as_json)
    checkup = await check.run()
    _show_findings(checkup, as_json=as_json)
    if checkup.cut_short:
        # A thread that waits for a dead disk or a name server cannot be ended, and Python would wait for it.
        os._exit(checkup.exit)
    return checkup.exit


def _show_settings(settings: Sequence[tuple[str, str, str]], *, as_json: bool) -> None:
    from laklak.cli.terminal import emit, terminal_width
    from laklak.engine.check import versions
    from laklak.report.words import settings_block

    if not as_json:
        for line in settings_block(versions(), settings, terminal_width(sys.stdout)):
            emit(line, sys.stdout)


def _show_findings(checkup: Checkup, *, as_json: bool) -> None:
    from laklak.cli.terminal import emit, terminal_width
    from laklak.report.words import finding_lines

    if as_json:
        print_json(checkup.as_json())
        return
    for line in finding_lines(checkup, terminal_width(sys.stdout)):
        emit(line, sys.stdout)
