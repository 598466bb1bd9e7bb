"""Puts rows of candles in order on the disk, in a SQLite table that nobody else sees and that ends with its process.

Memory does not grow with the rows. All of it blocks: call it in a thread.
"""

from __future__ import annotations

import sqlite3
import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from laklak.errors import UsageError

Row = tuple[Any, ...]
"""Series number, open_time, place in the file, and five numbers; None for a number that is none, or not told."""

_MAKE: Final = """
    CREATE TABLE candle (series INTEGER, open_time INTEGER, row INTEGER, open REAL, high REAL, low REAL, close REAL,
    volume REAL, PRIMARY KEY (series, open_time)) WITHOUT ROWID
"""
_AS_IT_IS: Final = "INSERT OR IGNORE INTO candle VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_MERGED: Final = """
    INSERT INTO candle VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET open = coalesce(excluded.open, open),
    high = coalesce(excluded.high, high), low = coalesce(excluded.low, low), close = coalesce(excluded.close, close),
    volume = coalesce(excluded.volume, volume)
"""
_TIMES: Final = "SELECT open_time FROM candle WHERE series = ? AND open_time > ? ORDER BY open_time LIMIT ?"
_ROWS: Final = """
    SELECT open_time, open, high, low, close, volume FROM candle WHERE series = ? AND open_time > ?
    ORDER BY open_time LIMIT ?
"""
_STANDS_AT: Final = "SELECT row FROM candle WHERE series = ? AND open_time = ?"
_CACHE_KIB: Final = 16_384


class Doubled(Exception):
    """Two rows of one moment: their places, and the moment."""

    def __init__(self, row: int, before: int, time_ms: int) -> None:
        super().__init__()
        self.row = row
        self.before = before
        self.time_ms = time_ms


class SortedRows:
    """Add rows, then read them in order. Any thread may use it; calls take turns.

    `merged`: rows of one moment become one, in which the later value counts.
    """

    def __init__(self, path: Path, *, merged: bool) -> None:
        self._path = path
        self._merged = merged
        self._turn = threading.Lock()
        # Without a name it is a temporary file, deleted at once, and written only when it outgrows the cache.
        self._table = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        # Not at the end of the program, where an abandoned thread may still use it.
        weakref.finalize(self, self._table.close).atexit = False
        for setting in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{_CACHE_KIB}"):
            self._table.execute(f"PRAGMA {setting}")
        self._table.execute(_MAKE)
        self._table.execute("BEGIN")

    def add(self, rows: Sequence[Row]) -> None:
        """Add rows. Doubled if two are of one moment; add nothing after that."""
        with self._working():
            done = self._table.executemany(_MERGED if self._merged else _AS_IT_IS, rows).rowcount
            if done < len(rows):
                raise next(self._doubled(rows))

    def times(self, series: int, most: int) -> Iterator[Sequence[int]]:
        """The open_times of a series, rising, at most `most` at once."""
        for part in self._parts(_TIMES, series, most):
            yield [time_ms for (time_ms,) in part]

    def rows(self, series: int, most: int) -> Iterator[Sequence[Row]]:
        """The rows of a series, open_time and five numbers, at most `most` at once."""
        return self._parts(_ROWS, series, most)

    def _parts(self, query: str, series: int, most: int) -> Iterator[Sequence[Row]]:
        after = -1
        while True:
            with self._working():
                found = self._table.execute(query, (series, after, most)).fetchall()
            if not found:
                return
            yield found
            after = found[-1][0]

    def _doubled(self, rows: Sequence[Row]) -> Iterator[Doubled]:
        for series, time_ms, row, *_ in rows:
            ((before,),) = self._table.execute(_STANDS_AT, (series, time_ms))
            if before != row:
                yield Doubled(row, before, time_ms)

    @contextmanager
    def _working(self) -> Iterator[None]:
        with self._turn:
            try:
                yield
            except sqlite3.Error as exc:
                raise UsageError(
                    f"the rows of {self._path} could not be put in order: {exc}",
                    hint="make room where temporary files go (TMPDIR says where), or put them in order before",
                ) from exc
