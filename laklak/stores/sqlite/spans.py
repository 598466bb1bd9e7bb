"""Stretches of a series as rows of a SQLite store: disjoint, told apart by where they start.

What is laid over others replaces what it covers and joins like neighbours (laklak.model.spans.laid_over), inside the
transaction of the candles that it is about.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Final

from laklak.model.absences import EDGE_KINDS, Absence
from laklak.model.series import Interval, TimeRange
from laklak.model.spans import laid_over
from laklak.stores.sqlite.schema import SOUND

# Since they are disjoint, only the last one that starts before a stretch may reach into it.
_TOUCHING: Final = (
    "series_id = ? AND start_time <= ? AND end_time >= ? AND start_time >= coalesce("
    "(SELECT max(start_time) FROM {table} WHERE series_id = ? AND start_time < ?), ?)"
)

_ABSENT_COLUMNS: Final = "start_time, end_time, kind, confirmed_at, reason, venue_at, file_at, sources"
_ABSENT: Final = (
    f"SELECT {_ABSENT_COLUMNS} FROM absent_span WHERE "  # noqa: S608, made of constants
    f"{_TOUCHING.format(table='absent_span')} ORDER BY start_time"
)
_FORGET_ABSENT: Final = "DELETE FROM absent_span WHERE series_id = ? AND start_time = ?"
_PUT_ABSENT: Final = f"INSERT INTO absent_span (series_id, {_ABSENT_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608
_HAS_ABSENT: Final = "SELECT EXISTS (SELECT 1 FROM absent_span WHERE series_id = ?)"

_SOUND_CANDLES: Final = (
    f"FROM candle WHERE series_id = ? AND open_time >= ? AND open_time < ? AND {SOUND} ORDER BY open_time"
)
_IS_STORED: Final = f"SELECT 1 {_SOUND_CANDLES} LIMIT 1"
_STORED: Final = f"SELECT open_time {_SOUND_CANDLES}"


def absent_spans(connection: sqlite3.Connection, series_id: int, span: TimeRange) -> list[Absence]:
    """The rows that overlap `span` or touch it, whole, whatever is stored in them."""
    rows = connection.execute(_ABSENT, _touching(series_id, span))
    return [
        Absence(TimeRange(start_ms, end_ms), kind, confirmed_at, reason, None, venue_ms, file_ms, split_words(sources))
        for start_ms, end_ms, kind, confirmed_at, reason, venue_ms, file_ms, sources in rows
    ]


def _touching(series_id: int, span: TimeRange) -> tuple[int, ...]:
    start_ms, end_ms = span.start_ms, span.end_ms
    return series_id, end_ms, start_ms, series_id, start_ms, start_ms


def true_spans(connection: sqlite3.Connection, series_id: int, interval: Interval, span: TimeRange) -> list[Absence]:
    """What of the rows in `span` is true, cut to it: without what is stored after all."""
    found = absent_spans(connection, series_id, span)
    left = [part for absence in found for part in _not_stored(connection, series_id, interval, absence)]
    cut = [(absence, absence.span.clip(span)) for absence in left]
    return [absence.over(part) for absence, part in cut if part]


def take_from_spans(
    connection: sqlite3.Connection, series_id: int, interval: Interval, open_times: Sequence[int]
) -> None:
    """Take back what candles, just written at these times (rising), disprove."""
    if not connection.execute(_HAS_ABSENT, (series_id,)).fetchone()[0]:
        return
    for absence in absent_spans(connection, series_id, TimeRange(open_times[0], open_times[-1] + 1)):
        left = absence.left_by(open_times, interval)
        if left != [absence]:
            _replace_absent(connection, series_id, [absence], left)


def record_spans(
    connection: sqlite3.Connection, series_id: int, interval: Interval, absences: Iterable[Absence]
) -> None:
    """Remember stretches, but for what is stored in them."""
    for absence in absences:
        for part in _not_stored(connection, series_id, interval, absence):
            before = absent_spans(connection, series_id, part.span)
            _replace_absent(connection, series_id, before, laid_over(before, part))


def join_words(words: Sequence[str]) -> str | None:
    """A few names as one text; none are no text."""
    return ",".join(words) or None


def split_words(text: str | None) -> tuple[str, ...]:
    """The names that `join_words` has put together."""
    return tuple(text.split(",")) if text else ()


def _not_stored(
    connection: sqlite3.Connection, series_id: int, interval: Interval, absence: Absence
) -> Sequence[Absence]:
    where = (series_id, absence.span.start_ms, absence.span.end_ms)
    if connection.execute(_IS_STORED, where).fetchone() is None:
        return [absence]
    if absence.kind in EDGE_KINDS:
        return []
    return absence.left_by([row[0] for row in connection.execute(_STORED, where)], interval)


def _replace_absent(
    connection: sqlite3.Connection, series_id: int, before: Sequence[Absence], after: Sequence[Absence]
) -> None:
    connection.executemany(_FORGET_ABSENT, [(series_id, one.span.start_ms) for one in before if one not in after])
    connection.executemany(
        _PUT_ABSENT,
        [
            (
                series_id,
                one.span.start_ms,
                one.span.end_ms,
                one.kind,
                one.confirmed_at_ms,
                one.reason,
                one.venue_ms,
                one.file_ms,
                join_words(one.sources),
            )
            for one in after
            if one not in before
        ],
    )
