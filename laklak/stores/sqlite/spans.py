"""Stretches of a series as rows of a SQLite store: disjoint, told apart by their start.

A new stretch replaces what it covers and joins like neighbours (laklak.model.spans.laid_over), in the transaction of
its candles.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from typing import Final

from laklak.model.absences import EDGE_KINDS, Absence
from laklak.model.provenance import Stretch
from laklak.model.series import Interval, Series, TimeRange
from laklak.model.spans import R, laid_over
from laklak.stores.sqlite.lane import Turn
from laklak.stores.sqlite.schema import SERIES_ID, SOUND

# Stretches are disjoint: only the last one that starts before another may reach into it or touch it.
_TOUCHING: Final = (
    "series_id = ? AND start_time <= ? AND end_time >= ? AND start_time >= coalesce("
    "(SELECT max(start_time) FROM {table} WHERE series_id = ? AND start_time < ?), ?)"
)


class _Table:
    """The statements for one table of stretches; `columns` follow the start and the end."""

    def __init__(self, name: str, columns: Sequence[str]) -> None:
        names = ", ".join(("start_time", "end_time", *columns))
        marks = ", ".join("?" * (3 + len(columns)))
        touching = _TOUCHING.format(table=name)
        self.touching = f"SELECT {names} FROM {name} WHERE {touching} ORDER BY start_time"  # noqa: S608, constants
        self.forget = f"DELETE FROM {name} WHERE series_id = ? AND start_time = ?"  # noqa: S608, constants
        self.put = f"INSERT OR REPLACE INTO {name} (series_id, {names}) VALUES ({marks})"  # noqa: S608, constants

    def replace(
        self,
        connection: sqlite3.Connection,
        series_id: int,
        before: Sequence[R],
        after: Sequence[R],
        cells: Callable[[R], tuple[object, ...]],
    ) -> None:
        """Put rows in place of others."""
        kept = {row.span.start_ms for row in after}
        gone = [(series_id, row.span.start_ms) for row in before if row.span.start_ms not in kept]
        new = [(series_id, row.span.start_ms, row.span.end_ms, *cells(row)) for row in after if row not in before]
        for statement, rows in ((self.forget, gone), (self.put, new)):
            if rows:
                connection.executemany(statement, rows)


_ABSENT: Final = _Table("absent_span", ("kind", "confirmed_at", "reason", "venue_at", "file_at", "sources"))
_GIVEN: Final = _Table("provenance", ("source", "state", "first_run", "last_run"))
_HAS_ABSENT: Final = "SELECT EXISTS (SELECT 1 FROM absent_span WHERE series_id = ?)"

_SOUND_CANDLES: Final = (
    f"FROM candle WHERE series_id = ? AND open_time >= ? AND open_time < ? AND {SOUND} ORDER BY open_time"
)
_IS_STORED: Final = f"SELECT 1 {_SOUND_CANDLES} LIMIT 1"
_STORED: Final = f"SELECT open_time {_SOUND_CANDLES}"


def absent_spans(connection: sqlite3.Connection, series_id: int, span: TimeRange) -> list[Absence]:
    """Return the rows that overlap `span` or touch it, whole, whatever is stored in them."""
    rows = connection.execute(_ABSENT.touching, _touching(series_id, span))
    return [
        Absence(TimeRange(start_ms, end_ms), kind, confirmed_at, reason, None, venue_ms, file_ms, split_words(sources))
        for start_ms, end_ms, kind, confirmed_at, reason, venue_ms, file_ms, sources in rows
    ]


def _touching(series_id: int, span: TimeRange) -> tuple[int, ...]:
    start_ms, end_ms = span.start_ms, span.end_ms
    return series_id, end_ms, start_ms, series_id, start_ms, start_ms


def true_spans(connection: sqlite3.Connection, series_id: int, interval: Interval, span: TimeRange) -> list[Absence]:
    """Return the rows in `span`, cut to it, without what is stored after all."""
    found = absent_spans(connection, series_id, span)
    left = [part for absence in found for part in _not_stored(connection, series_id, interval, absence)]
    cut = [(absence, absence.span.clip(span)) for absence in left]
    return [absence.over(part) for absence, part in cut if part]


def has_spans(connection: sqlite3.Connection, series_id: int) -> bool:
    """Whether any stretches of a series are known: most have none to take back."""
    return bool(connection.execute(_HAS_ABSENT, (series_id,)).fetchone()[0])


def take_from_spans(
    connection: sqlite3.Connection, series_id: int, interval: Interval, open_times: Sequence[int]
) -> None:
    """Take back what candles, just written at these times (rising), disprove."""
    for absence in absent_spans(connection, series_id, TimeRange(open_times[0], open_times[-1] + 1)):
        left = absence.left_by(open_times, interval)
        if left != [absence]:
            _ABSENT.replace(connection, series_id, [absence], left, _absent_cells)


def record_spans(
    connection: sqlite3.Connection, series_id: int, interval: Interval, absences: Iterable[Absence]
) -> None:
    """Remember stretches, except where candles are stored."""
    for absence in absences:
        for part in _not_stored(connection, series_id, interval, absence):
            before = absent_spans(connection, series_id, part.span)
            _ABSENT.replace(connection, series_id, before, laid_over(before, part), _absent_cells)


def stretches(connection: sqlite3.Connection, series_id: int, span: TimeRange) -> list[Stretch]:
    """Return the rows of provenance that overlap `span` or touch it, whole."""
    rows = connection.execute(_GIVEN.touching, _touching(series_id, span))
    return [Stretch(TimeRange(start_ms, end_ms), *known) for start_ms, end_ms, *known in rows]


def record_provenance(connection: sqlite3.Connection, series_id: int, given: Iterable[Stretch]) -> None:
    """Remember who gave the candles of this transaction."""
    together: list[Stretch] = reduce(laid_over, given, [])
    for stretch in together:
        before = stretches(connection, series_id, stretch.span)
        _GIVEN.replace(connection, series_id, before, laid_over(before, stretch), _given_cells)


def join_words(words: Sequence[str]) -> str | None:
    """Join names to one text; None without any."""
    return ",".join(words) or None


def split_words(text: str | None) -> tuple[str, ...]:
    """Return the names that `join_words` has joined."""
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


def _absent_cells(one: Absence) -> tuple[object, ...]:
    return one.kind, one.confirmed_at_ms, one.reason, one.venue_ms, one.file_ms, join_words(one.sources)


def _given_cells(one: Stretch) -> tuple[object, ...]:
    return one.source, one.state, one.first_run_ms, one.last_run_ms


def provenance(series: Series, span: TimeRange, turn: Turn) -> list[Stretch]:
    names = (series.venue, series.symbol, series.interval.name)
    found = turn.connection.execute(SERIES_ID, names).fetchone()
    rows = [] if found is None else stretches(turn.connection, found[0], span)
    cut = [(row, row.span.clip(span)) for row in rows]
    return [row.over(part) for row, part in cut if part]
