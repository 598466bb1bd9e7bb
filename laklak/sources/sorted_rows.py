"""Rows of candles that come in any order, put in order on the disk: a table of SQLite that nobody else sees and that is
gone with its process.  Memory does not grow with the rows.

All of it blocks, and is for a thread.
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
"""The number of its series, its open_time, where it stands in the file, and five numbers; None is none, or not told."""

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
    """Two rows of one moment: where they stand, and the moment."""

    def __init__(self, row: int, before: int, time_ms: int) -> None:
        super().__init__()
        self.row = row
        self.before = before
        self.time_ms = time_ms


class SortedRows:
    """Add rows, then read them in order. Any thread may, one at a time gets its turn.

    `merged`: rows of one moment are one, and of what several of them tell the later one counts.
    """

    def __init__(self, path: Path, *, merged: bool) -> None:
        self._path = path
        self._merged = merged
        self._turn = threading.Lock()
        # Without a name it is a file that SQLite takes away at once, written when it outgrows the cache.
        self._table = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        # Not at the end of the program, where a thread that was given up may still be at it.
        weakref.finalize(self, self._table.close).atexit = False
        for setting in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{_CACHE_KIB}"):
            self._table.execute(f"PRAGMA {setting}")
        self._table.execute(_MAKE)
        self._table.execute("BEGIN")

    def add(self, rows: Sequence[Row]) -> None:
        """Take these; Doubled where two are of one moment, after which nothing more is to be added."""
        with self._working():
            done = self._table.executemany(_MERGED if self._merged else _AS_IT_IS, rows).rowcount
            if done < len(rows):
                raise next(self._doubled(rows))

    def times(self, series: int, most: int) -> Iterator[Sequence[int]]:
        """The open_times of a series, rising, at most so many at once."""
        for part in self._parts(_TIMES, series, most):
            yield [time_ms for (time_ms,) in part]

    def rows(self, series: int, most: int) -> Iterator[Sequence[Row]]:
        """Its rows: open_time and five numbers."""
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
