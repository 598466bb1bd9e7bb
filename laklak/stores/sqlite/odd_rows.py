"""What stands in the table of candles and is no candle: functions on a connection."""

from __future__ import annotations

import sqlite3
from typing import Any, Final

from laklak.model.series import MINUTE_MS, Series, TimeRange
from laklak.stores.base import Oddities, Strays
from laklak.stores.sqlite.lane import Turn
from laklak.stores.sqlite.read import on_grid, within
from laklak.stores.sqlite.schema import ODD

# A text or a blob for a time is greater than any number, and in no range.
_ODD_ROWS: Final = f"""
SELECT open_time FROM candle INDEXED BY candle_odd
WHERE series_id = (SELECT id FROM series WHERE venue = ? AND symbol = ? AND interval = ?)
AND (open_time >= ? AND open_time < ? OR open_time >= '') AND {ODD}"""  # noqa: S608, made of constants

_OFF_GRID: Final = "(typeof(open_time) <> 'integer' OR open_time % ? <> 0)"
_STRAYS: Final = f"""
SELECT count(*), min(open_time) FROM candle
WHERE series_id = (SELECT id FROM series WHERE venue = ? AND symbol = ? AND interval = ?)
AND (open_time >= ? AND open_time < ? OR open_time >= '') AND {_OFF_GRID}"""  # noqa: S608, made of constants


def odd(path: str, series: Series, span: TimeRange, turn: Turn) -> Oddities:
    """What stands in a range and is no candle; the statements that remove strays are for the file at `path`."""
    found = _odd_rows(series, span, turn)
    not_whole = sorted(time_ms for time_ms in found if isinstance(time_ms, int) and not time_ms % series.interval.ms)
    strays = len(found) - len(not_whole)
    if strays or series.interval.ms > MINUTE_MS:
        strays, first_ms = turn.connection.execute(_STRAYS, on_grid(series, span)).fetchone()
    if not strays:
        return Oddities(not_whole)
    first_ns = int(first_ms * 1_000_000) if isinstance(first_ms, int | float) else None
    return Oddities(not_whole, Strays(strays, first_ns, (_removal(series, span),), f"in sqlite3 {path}"))


def _odd_rows(series: Series, span: TimeRange, turn: Turn) -> list[Any]:
    """The open_times of rows that cannot be candles, whatever they are; not whole minutes off a longer grid."""
    try:
        rows = turn.connection.execute(_ODD_ROWS, within(series, span)).fetchall()
    except sqlite3.OperationalError as exc:
        # The index was dropped: counting takes longer, and is no less true.
        if "no such index" not in str(exc):
            raise
        rows = turn.connection.execute(_ODD_ROWS.replace("INDEXED BY candle_odd", ""), within(series, span)).fetchall()
    return [row[0] for row in rows]


def odd_among_counted(series: Series, span: TimeRange, turn: Turn) -> list[int | float]:
    times = [time_ms for time_ms in _odd_rows(series, span, turn) if isinstance(time_ms, int | float)]
    if series.interval.ms == MINUTE_MS:
        return times
    # SQLite takes the remainder of whole numbers: 60000.5 % 60000 is 0.
    return [time_ms for time_ms in times if not int(time_ms) % series.interval.ms]


def _removal(series: Series, span: TimeRange) -> str:
    """The statement that removes the rows of a series off its grid."""
    venue, symbol, interval = (_text(name) for name in (series.venue, series.symbol, series.interval.name))
    return (
        "DELETE FROM candle WHERE series_id = "  # noqa: S608, made of quoted parts
        f"(SELECT id FROM series WHERE venue = {venue} AND symbol = {symbol} AND interval = {interval})"
        f" AND (open_time >= {span.start_ms} AND open_time < {span.end_ms} OR open_time >= '')"
        f" AND {_OFF_GRID.replace('?', str(series.interval.ms))};"
    )


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
