"""Reading candles from a SQLite store: functions on a connection."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from typing import Any, Final

from laklak.model.series import Series, TimeRange
from laklak.stores.base import Columns
from laklak.stores.sqlite.lane import Turn
from laklak.stores.sqlite.schema import SERIES_ID, SOUND

_FETCH_ROWS: Final = 4096

# Newest first, so that `last` stops early; a negative LIMIT means no limit.
READ: Final = """
SELECT open_time, open, high, low, close, volume FROM candle
WHERE series_id = (SELECT id FROM series WHERE venue = ? AND symbol = ? AND interval = ?)
AND open_time >= ? AND open_time < ? AND open_time % ? = 0 AND typeof(open_time) = 'integer'
ORDER BY open_time DESC LIMIT ?"""
READ_WHOLE: Final = READ.replace("ORDER BY", f"AND {SOUND}\nORDER BY")
READ_OLDEST: Final = READ_WHOLE.replace(" DESC", "")

# The same for a driver without parameters: numbers only.
READ_MANY: Final = f"""
SELECT open_time, open, high, low, close, volume FROM candle
WHERE series_id = {{}} AND open_time >= {{}} AND open_time < {{}} AND open_time % {{}} = 0
AND typeof(open_time) = 'integer' AND {SOUND} ORDER BY open_time"""  # noqa: S608, made of constants and numbers

# A text as time is greater than any number, and in no range.
_ROWS_AT_MOST: Final = f"""
SELECT id, (SELECT min(open_time) FROM candle WHERE series_id = id AND open_time >= ? AND open_time < ?),
(SELECT max(open_time) FROM candle WHERE series_id = id AND open_time >= ? AND open_time < ?)
FROM series WHERE id = ({SERIES_ID})"""  # noqa: S608, made of constants


def within(series: Series, span: TimeRange) -> tuple[str | int, ...]:
    return (series.venue, series.symbol, series.interval.name, span.start_ms, span.end_ms)


def on_grid(series: Series, span: TimeRange) -> tuple[str | int, ...]:
    return (*within(series, span), series.interval.ms)


def rows_at_most(series: Series, span: TimeRange, turn: Turn) -> tuple[int, int] | None:
    """Return the id of a series and how many candles it can have in `span`; None if it has none."""
    bounds = (span.start_ms, span.end_ms)
    names = (series.venue, series.symbol, series.interval.name)
    row = turn.connection.execute(_ROWS_AT_MOST, (*bounds, *bounds, *names)).fetchone()
    if row is None or row[1] is None:
        return None
    return row[0], int((row[2] - row[1]) // series.interval.ms) + 1


def read_columns(sql: str, parameters: tuple[object, ...], turn: Turn) -> Columns:
    """Return candles, oldest first; the statement has ORDER BY open_time, with or without DESC."""
    # Into flat arrays, slice by slice: a list of rows of float objects would take eight times the memory.
    columns: list[array[Any]] = [array("q"), *(array("d") for _ in range(5))]
    cursor = turn.connection.execute(sql, parameters)
    while rows := cursor.fetchmany(_FETCH_ROWS):
        turn.check()
        for column, cells in zip(columns, zip(*rows, strict=True), strict=True):
            column.extend(_numbers(column.typecode, cells))
    if " DESC" in sql:
        for column in columns:
            column.reverse()
    return Columns(columns[0], tuple(columns[1:]))


def _numbers(typecode: str, cells: Sequence[Any]) -> array[Any]:
    """Turn cells into numbers; text that another program wrote becomes NaN, which is no candle."""
    try:
        return array(typecode, cells)
    except TypeError:
        return array(typecode, [cell if isinstance(cell, float | int) else math.nan for cell in cells])
