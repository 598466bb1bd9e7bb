"""How many candles there are, of which minutes, and what they add up to: functions on a connection."""

from __future__ import annotations

from collections import Counter
from typing import Final

from laklak.model.series import DAY_MS, MINUTE_MS, Series, TimeRange
from laklak.stores.base import CONTRADICTS, DaySums
from laklak.stores.sqlite.lane import Turn
from laklak.stores.sqlite.odd_rows import odd_among_counted
from laklak.stores.sqlite.read import on_grid, within
from laklak.stores.sqlite.schema import SOUND

_COUNT: Final = """
SELECT count(*) FROM candle
WHERE series_id = (SELECT id FROM series WHERE venue = ? AND symbol = ? AND interval = ?)
AND open_time >= ? AND open_time < ? AND open_time % ? = 0"""

_NEXT: Final = """
SELECT CAST(open_time AS INTEGER) FROM candle
WHERE series_id = (SELECT id FROM series WHERE venue = ? AND symbol = ? AND interval = ?)
AND open_time >= ? AND open_time < ? ORDER BY open_time LIMIT 1"""

# A day at a time: a group by the day takes twice as long.
_SUMS: Final = f"""
SELECT count(*), sum(open), sum(high), sum(low), sum(close), sum(volume), sum({CONTRADICTS}) FROM candle
WHERE series_id = (SELECT id FROM series WHERE venue = ? AND symbol = ? AND interval = ?)
AND open_time >= ? AND open_time < ? AND open_time % ? = 0"""  # noqa: S608, made of constants

_SUMS_AMONG_ODD: Final = f"{_SUMS} AND typeof(open_time) = 'integer' AND {SOUND}"
_OPEN_TIMES: Final = """
SELECT group_concat(open_time) FROM candle
WHERE series_id = (SELECT id FROM series WHERE venue = ? AND symbol = ? AND interval = ?)
AND open_time >= ? AND open_time < ? AND open_time % ? = 0 AND typeof(open_time) = 'integer'"""


def count(series: Series, span: TimeRange, turn: Turn) -> int:
    rows = int(turn.connection.execute(*_counting(_COUNT, series, span)).fetchone()[0])
    return rows - len(odd_among_counted(series, span, turn))


def _counting(sql: str, series: Series, span: TimeRange) -> tuple[str, tuple[str | int, ...]]:
    """A question for counts: that of minutes without a look at the grid, since the index knows who is off it."""
    if series.interval.ms > MINUTE_MS:
        return sql, on_grid(series, span)
    return sql.replace(" AND open_time % ? = 0", ""), within(series, span)


def count_by_day(series: Series, span: TimeRange, turn: Turn) -> dict[int, int]:
    counts: Counter[int] = Counter()
    left = span
    # A day at a time, from one that has candles to the next: a group by the day takes more than twice as long.
    while found := turn.connection.execute(_NEXT, within(series, left)).fetchone():
        day_ms = found[0] // DAY_MS * DAY_MS
        day, left = left.clip(TimeRange(day_ms, day_ms + DAY_MS)), TimeRange(day_ms + DAY_MS, left.end_ms)
        (counts[day_ms],) = turn.connection.execute(*_counting(_COUNT, series, day)).fetchone()
        turn.check()
    counts.subtract(int(time_ms) // DAY_MS * DAY_MS for time_ms in odd_among_counted(series, span, turn))
    return {day: count for day, count in counts.items() if count}


def sums_by_day(series: Series, span: TimeRange, turn: Turn) -> dict[int, DaySums]:
    found: dict[int, DaySums] = {}
    odd = {int(time_ms) // DAY_MS * DAY_MS for time_ms in odd_among_counted(series, span, turn)}
    for part in span.days():
        turn.check()
        day_ms = part.start_ms // DAY_MS * DAY_MS
        sql = _SUMS_AMONG_ODD if day_ms in odd else _SUMS
        rows, *sums, contradicting = turn.connection.execute(sql, on_grid(series, part)).fetchone()
        if rows:
            found[day_ms] = DaySums(rows, tuple(map(float, sums)), bool(contradicting))
    return found


def open_times(series: Series, span: TimeRange, turn: Turn) -> list[int]:
    row = turn.connection.execute(_OPEN_TIMES, on_grid(series, span)).fetchone()
    if row[0] is None:
        return []
    # Sorted here: SQLite does not promise the order in which an aggregate sees its rows.
    return sorted(set(map(int, row[0].split(","))).difference(odd_among_counted(series, span, turn)))
