"""Checks of a SQLite store before a backfill: functions on a connection that writes nothing."""

from __future__ import annotations

import sqlite3
import time
from typing import Final

from laklak.model.findings import Finding
from laklak.model.series import Interval, iso
from laklak.stores.sqlite import file as sqlite_file
from laklak.stores.sqlite.lane import Turn
from laklak.stores.sqlite.schema import ODD
from laklak.stores.sqlite.write import transaction
from laklak.text import counted

# How long `examine` waits for another writer.
_PROBE_S: Final = 2.0

# Only times that are numbers name a moment: texts and blobs are greater than any number.
_ODD_SERIES: Final = f"""
SELECT series_id, venue || ':' || symbol || ':' || interval, count(*),
min(CASE WHEN open_time < '' THEN open_time END), max(CASE WHEN open_time < '' THEN open_time END)
FROM candle INDEXED BY candle_odd JOIN series ON series.id = series_id
WHERE {ODD} GROUP BY series_id ORDER BY 2"""  # noqa: S608, made of constants

_SERIES_SHOWN: Final = 5

# No index has them: which minutes are on the grid depends on the series.
_LONGER: Final = """
SELECT id, venue || ':' || symbol || ':' || interval, interval FROM series
WHERE interval <> '1m' AND EXISTS (SELECT 1 FROM candle WHERE series_id = id) ORDER BY 2"""

_MINUTES_OFF: Final = (
    "series_id = {} AND typeof(open_time) = 'integer' AND open_time % 60000 = 0 AND open_time % {} <> 0"
)

_LOOK_S: Final = 4.0


def examine(turn: Turn) -> list[Finding]:
    version = turn.connection.execute("PRAGMA user_version").fetchone()[0]
    kept_by = Finding(
        "ok", f"SQLite {sqlite3.sqlite_version}, store version {version}", facts={"store_version": version}
    )
    try:
        # An empty transaction takes what a write takes, and writes nothing.
        with transaction(turn, patience_s=_PROBE_S):
            pass
        return [kept_by, Finding("ok", "it can be read and written"), *_odd_finding(turn)]
    except sqlite3.OperationalError as exc:
        if not sqlite_file.is_busy(exc):
            raise
        busy = f"another program has been writing for {_PROBE_S:g} s; a backfill waits {sqlite_file.BUSY_TIMEOUT_S:g} s"
        return [kept_by, Finding("warning", busy, "end its transaction")]


def _odd_finding(turn: Turn) -> list[Finding]:
    """Return a warning for each series with rows that are no candle of any interval; quick, by the index."""
    try:
        series = turn.connection.execute(_ODD_SERIES).fetchall()
    except sqlite3.OperationalError:
        return []
    found = _minutes_off_grid(turn)
    for series_id, name, odd, first, last in series[:_SERIES_SHOWN]:
        span = "" if first is None else f", {iso(int(first))} to {iso(int(last))}"
        rows = f"{counted(odd, 'row')} of the table candle {'is no candle' if odd == 1 else 'are no candles'}"
        statement = f"DELETE FROM candle WHERE series_id = {series_id} AND {ODD};"  # noqa: S608, made of constants
        found.append(
            Finding(
                "warning",
                f"{name}: {rows}{span}: without five finite numbers, or between two minutes",
                "the next run fetches again what is not whole; to remove them all, in sqlite3: " + statement,
                {"series": name, "odd_rows": odd, "statement": statement},
            )
        )
    if rest := series[_SERIES_SHOWN:]:
        odd = sum(one[2] for one in rest)
        text = f"and {len(rest):,} more series, {counted(odd, 'row')} that are no candles"
        found.append(Finding("warning", text, "remove the ones above and check again", {"odd_rows": odd}))
    return found


def _minutes_off_grid(turn: Turn) -> list[Finding]:
    """Return a warning for each series of a longer interval that has whole minutes off its grid."""
    found: list[Finding] = []
    unread: list[Finding] = []
    series = turn.connection.execute(_LONGER).fetchall()
    ends_s = time.monotonic() + _LOOK_S
    for done, (series_id, name, interval) in enumerate(series):
        if time.monotonic() > ends_s:
            text = (
                f"minutes off a longer grid were looked for in {done:,} of {len(series):,} series within {_LOOK_S:g} s"
            )
            # No fault: a large store always takes longer.
            unread = [Finding("ok", text, "a backfill looks at all of its range, and names what is no candle")]
            break
        where = _MINUTES_OFF.format(series_id, Interval.parse(interval).ms)
        look = f"SELECT count(*), min(open_time), max(open_time) FROM candle WHERE {where}"  # noqa: S608, two numbers
        rows, first_ms, last_ms = turn.connection.execute(look).fetchone()
        if not rows:
            continue
        statement = f"DELETE FROM candle WHERE {where};"  # noqa: S608, two numbers
        found.append(
            Finding(
                "warning",
                f"{name}: {counted(rows, 'row')} of the table candle off the grid of {interval}, "
                f"{iso(first_ms)} to {iso(last_ms)}: no candles",
                f"to remove them all, in sqlite3: {statement}",
                {"series": name, "off_grid": rows, "statement": statement},
            )
        )
    if rest := found[_SERIES_SHOWN:]:
        more = Finding(
            "warning", f"and {len(rest):,} more series with rows off their grid", "remove the ones above first"
        )
        found = [*found[:_SERIES_SHOWN], more]
    return [*found, *unread]
