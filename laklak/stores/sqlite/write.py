"""How a transaction's candles and absences get into a SQLite store: functions on a connection."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from typing import Any, Final, Literal

from laklak.model.candles import CandleBatch, Candles, PackedCandles
from laklak.model.provenance import Stretch
from laklak.model.records import Note
from laklak.model.revisions import Revision, row_text
from laklak.model.series import Series
from laklak.stores.base import Delivery
from laklak.stores.sqlite.file import BUSY_TIMEOUT_S, is_busy
from laklak.stores.sqlite.lane import Turn
from laklak.stores.sqlite.schema import SOUND
from laklak.stores.sqlite.spans import has_spans, join_words, record_provenance, record_spans, take_from_spans

ROWS_PER_STATEMENT: Final = 4096
"""Candles bound to one INSERT; a power of two, because the rest goes in statements of halving size.

Each statement is four fights for the interpreter lock, which is held while its cells are made and bound.  Seven values
a row stay below the 32,766 that SQLite allows from 3.32 on.
"""
_CELLS: Final = 7


_ABSENCE_SQL: Final = f"""
INSERT INTO absence (series_id, open_time, kind, confirmed_at, reason, row, venue_at, file_at, sources)
SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?
WHERE NOT EXISTS (SELECT 1 FROM candle WHERE series_id = ? AND open_time = ? AND {SOUND})
ON CONFLICT (series_id, open_time) DO UPDATE
SET kind = excluded.kind, confirmed_at = excluded.confirmed_at, reason = excluded.reason, row = excluded.row,
    venue_at = excluded.venue_at, file_at = excluded.file_at, sources = excluded.sources"""  # noqa: S608, made of constants

_FORGET_SQL: Final = f"""
DELETE FROM absence WHERE series_id = ? AND open_time BETWEEN ? AND ?
AND EXISTS (
    SELECT 1 FROM candle AS c WHERE c.series_id = absence.series_id AND c.open_time = absence.open_time AND {SOUND}
)"""  # noqa: S608, made of constants


@dataclass(slots=True, eq=False)
class CandleRows(PackedCandles):
    """Candles as flat columns of 64-bit integers and doubles, in a fifth of the memory of Python's cells.

    `columns` are memoryviews of format `d`; `open_times` is a memoryview of format `q`, or a range.
    """

    series: Series
    open_times: Sequence[int]
    columns: tuple[Any, ...]

    def fill(self, cells: list[int | float], row: int, series_id: int, part: slice) -> None:
        """Put the candles of `part` into `cells`, seven to a row, from `row` on."""
        count = part.stop - part.start
        first, after = row * _CELLS, (row + count) * _CELLS
        cells[first:after:_CELLS] = [series_id] * count
        cells[first + 1 : after : _CELLS] = self.open_times[part]
        for number, column in enumerate(self.columns, 2):
            cells[first + number : after : _CELLS] = column[part].tolist()

    def unpacked(self) -> CandleBatch:
        texts = tuple(list(map(repr, column)) for column in self.columns)
        return CandleBatch(self.series, self.open_times, texts, self.columns)


def pack(candles: Candles) -> CandleRows:
    """Make columns of candles, in C: nothing here runs once a candle. Packed candles stay as they are."""
    if isinstance(candles, CandleRows):
        return candles
    times = candles.open_times
    if not isinstance(times, range):
        times = _packed(times, "q")
    return CandleRows(candles.series, times, tuple(_packed(column, "d") for column in candles.values))


def _packed(column: Sequence[int] | Sequence[float], typecode: Literal["q", "d"]) -> Any:
    return memoryview(column if isinstance(column, array | memoryview) else array(typecode, column))


@contextlib.contextmanager
def transaction(turn: Turn, *, patience_s: float = BUSY_TIMEOUT_S) -> Iterator[sqlite3.Connection]:
    """Open a write transaction: committed at the end of the block, rolled back if the block or the commit fails.

    Waits for other writers, and stops waiting when the job is called off.
    """
    connection = turn.connection
    began_s = time.monotonic()
    while True:
        turn.check()
        try:
            connection.execute("BEGIN IMMEDIATE")
            break
        except sqlite3.OperationalError as exc:
            if not is_busy(exc) or time.monotonic() > began_s + patience_s:
                raise
            turn.blocked_since_s = began_s
    turn.blocked_since_s = None
    try:
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        # A full disk may have ended the transaction already.
        if connection.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
        raise


def write_deliveries(turn: Turn, deliveries: Sequence[Delivery]) -> None:
    """Store candles and absences in one transaction, in the order of the tree they go to."""
    with transaction(turn) as connection:
        ids = {series: _series_id(connection, series) for series in {delivery.series for delivery in deliveries}}
        in_order = sorted(deliveries, key=lambda delivery: (ids[delivery.series], _first_time(delivery)))
        _insert_candles(turn, ids, in_order)
        spanned = {series_id for series_id in ids.values() if has_spans(connection, series_id)}
        for delivery in in_order:
            series_id = ids[delivery.series]
            _settle_absences(connection, series_id, delivery, spanned)
            if delivery.revisions:
                _add_revisions(connection, series_id, delivery.revisions)
            if delivery.files:
                connection.executemany(
                    "INSERT OR REPLACE INTO bulk_file VALUES (?, ?, ?, ?, ?, ?)",
                    [
                        (series_id, one.span.start_ms, one.span.end_ms, one.name, one.sha256, one.run_ms)
                        for one in delivery.files
                    ],
                )
        # In their order of arrival: the later source counts.
        given: dict[int, list[Stretch]] = {}
        for delivery in deliveries:
            if delivery.provenance:
                given.setdefault(ids[delivery.series], []).extend(delivery.provenance)
        for series_id, stretches in given.items():
            record_provenance(connection, series_id, stretches)


def _add_revisions(connection: sqlite3.Connection, series_id: int, revisions: Sequence[Revision]) -> None:
    connection.executemany(
        "INSERT INTO revision (series_id, open_time, old, new, source, why, revised_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (series_id, one.open_time_ms, row_text(one.old), row_text(one.new), one.source, one.why, one.at_ms)
            for one in revisions
        ],
    )


def write_meta(turn: Turn, key: str, value: str) -> None:
    """Set one value of the meta table."""
    with transaction(turn) as connection:
        connection.execute(
            "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            (key, value),
        )


def write_notes(turn: Turn, notes: Sequence[Note]) -> None:
    """Put notes in place of those of the same kind about the same thing."""
    rows = [(note.about, note.kind, note.value, note.noted_at_ms, note.venue_ms) for note in notes]
    with transaction(turn) as connection:
        connection.executemany(
            "INSERT OR REPLACE INTO laklak_notes (about, kind, value, noted_at, venue_at) VALUES (?, ?, ?, ?, ?)", rows
        )


def _series_id(connection: sqlite3.Connection, series: Series) -> int:
    # Ask in every transaction and never remember: a person may have deleted the series meanwhile.
    key = (series.venue, series.symbol, series.interval.name)
    found = connection.execute("SELECT id FROM series WHERE venue = ? AND symbol = ? AND interval = ?", key).fetchone()
    if found is not None:
        return int(found[0])
    made = connection.execute("INSERT INTO series (venue, symbol, interval) VALUES (?, ?, ?)", key).lastrowid
    if made is None:
        raise sqlite3.InternalError("SQLite gave no id to a new series")
    return made


def _first_time(delivery: Delivery) -> int:
    return delivery.candles.open_times[0] if delivery.candles else 0


def _insert_candles(turn: Turn, series_ids: Mapping[Series, int], deliveries: Sequence[Delivery]) -> None:
    packed = [pack(delivery.candles) for delivery in deliveries if delivery.candles]
    # Where each delivery lies among all rows of the transaction: a statement takes rows of as many as it has room for.
    starts = [0, *accumulate(map(len, packed))]
    done, total = 0, starts[-1]
    while done < total:
        turn.check()
        size = min(ROWS_PER_STATEMENT, 1 << ((total - done).bit_length() - 1))
        cells: list[int | float] = [0] * (size * _CELLS)
        for index in range(bisect_right(starts, done) - 1, bisect_left(starts, done + size)):
            rows, start = packed[index], starts[index]
            first, after = max(done, start), min(done + size, starts[index + 1])
            rows.fill(cells, first - done, series_ids[rows.series], slice(first - start, after - start))
        turn.connection.execute(_insert_sql(size), cells)
        done += size


@cache
def _insert_sql(rows: int) -> str:
    marks = ", ".join(["(?, ?, ?, ?, ?, ?, ?)"] * rows)
    return (
        f"INSERT INTO candle (series_id, open_time, open, high, low, close, volume) VALUES {marks}"  # noqa: S608
        " ON CONFLICT (series_id, open_time) DO UPDATE SET open = excluded.open, high = excluded.high,"
        " low = excluded.low, close = excluded.close, volume = excluded.volume"
    )


def _settle_absences(connection: sqlite3.Connection, series_id: int, delivery: Delivery, spanned: set[int]) -> None:
    interval = delivery.series.interval
    for absence in (one for some in delivery.absences if not some.is_span for one in some.candles(interval)):
        row = (absence.open_time_ms, absence.kind, absence.confirmed_at_ms, absence.reason, absence.row)
        known = (absence.venue_ms, absence.file_ms, join_words(absence.sources))
        once_more = (series_id, absence.open_time_ms)
        connection.execute(_ABSENCE_SQL, (series_id, *row, *known, *once_more))
    if delivery.candles:
        open_times = delivery.candles.open_times
        connection.execute(_FORGET_SQL, (series_id, open_times[0], open_times[-1]))
        if series_id in spanned:
            take_from_spans(connection, series_id, interval, open_times)
    spans = [one for one in delivery.absences if one.is_span]
    if spans:
        spanned.add(series_id)
        record_spans(connection, series_id, interval, spans)
