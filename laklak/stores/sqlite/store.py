"""The SQLite store: one file, readable by any program while it is written.

One thread with one connection writes, two others read beside it (WAL), so nothing here runs on the event loop and a
long count is not in the way of a write.  Everything a query gives comes in as few rows as possible: each row is a
fight for the interpreter lock beside a busy loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import sqlite3
import time
from array import array
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from contextlib import AbstractContextManager, AsyncExitStack
from functools import partial
from typing import Any, Final, TypeVar

from laklak.errors import StoreError, StoreFull, StoreUnavailable
from laklak.model.absences import Absence, outside_of
from laklak.model.candles import Candles
from laklak.model.findings import Finding
from laklak.model.provenance import Stretch
from laklak.model.records import Note, RunRecord
from laklak.model.revisions import Revision, row_values
from laklak.model.series import DAY_MS, MINUTE_MS, Interval, Series, TimeRange, iso
from laklak.stores.base import (
    CONTRADICTS,
    NOTHING_FOREIGN,
    AbsenceCount,
    ClosedSpan,
    Columns,
    DaySums,
    Delivery,
    Foreign,
    Oddities,
    Origin,
    StoreBase,
    StoreInfo,
    Strays,
    Waiting,
    Written,
    held_span,
)
from laklak.stores.lock import StoreLock
from laklak.stores.sqlite import bulk
from laklak.stores.sqlite import file as sqlite_file
from laklak.stores.sqlite.lane import Lane, Turn
from laklak.stores.sqlite.runs import read_runs, write_run
from laklak.stores.sqlite.schema import ODD, SOUND
from laklak.stores.sqlite.spans import split_words, stretches, true_spans
from laklak.stores.sqlite.write import pack, transaction, write_deliveries, write_meta, write_notes
from laklak.text import counted, size_text

log = logging.getLogger(__name__)

T = TypeVar("T")

_READERS: Final = 2
# How long `examine` waits for another writer.
_PROBE_S: Final = 2.0
_FETCH_ROWS: Final = 4096
# Up to this size a store's candles are counted for the line that says what it holds: some 50 ms.
_COUNTED_BYTES: Final = 128 * 2**20

_SERIES_ID: Final = "SELECT id FROM series WHERE venue = ? AND symbol = ? AND interval = ?"

_COUNT: Final = """
SELECT count(*) FROM candle
WHERE series_id = (SELECT id FROM series WHERE venue = ? AND symbol = ? AND interval = ?)
AND open_time >= ? AND open_time < ? AND open_time % ? = 0"""

_COUNT_BY_DAY: Final = """
SELECT group_concat(day || ':' || candles) FROM (
    SELECT CAST(open_time / 86400000 AS INTEGER) AS day, count(*) AS candles FROM candle
    WHERE series_id = (SELECT id FROM series WHERE venue = ? AND symbol = ? AND interval = ?)
    AND open_time >= ? AND open_time < ? AND open_time % ? = 0
    GROUP BY day)"""

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

# A text or a blob for a time is greater than any number, and in no range.
_ODD_ROWS: Final = f"""
SELECT open_time FROM candle INDEXED BY candle_odd
WHERE series_id = (SELECT id FROM series WHERE venue = ? AND symbol = ? AND interval = ?)
AND (open_time >= ? AND open_time < ? OR open_time >= '') AND {ODD}"""  # noqa: S608, made of constants

# Of times only those that are numbers say when: texts and blobs are greater than any.
_ODD_SERIES: Final = f"""
SELECT series_id, venue || ':' || symbol || ':' || interval, count(*),
min(CASE WHEN open_time < '' THEN open_time END), max(CASE WHEN open_time < '' THEN open_time END)
FROM candle INDEXED BY candle_odd JOIN series ON series.id = series_id
WHERE {ODD} GROUP BY series_id ORDER BY 2"""  # noqa: S608, made of constants
_SERIES_SHOWN: Final = 5

# No index knows them, for which minutes are on the grid depends on the series.
_LONGER: Final = """
SELECT id, venue || ':' || symbol || ':' || interval, interval FROM series
WHERE interval <> '1m' AND EXISTS (SELECT 1 FROM candle WHERE series_id = id) ORDER BY 2"""
_MINUTES_OFF: Final = (
    "series_id = {} AND typeof(open_time) = 'integer' AND open_time % 60000 = 0 AND open_time % {} <> 0"
)
_LOOK_S: Final = 4.0

_OFF_GRID: Final = "(typeof(open_time) <> 'integer' OR open_time % ? <> 0)"

_STRAYS: Final = f"""
SELECT count(*), min(open_time) FROM candle
WHERE series_id = (SELECT id FROM series WHERE venue = ? AND symbol = ? AND interval = ?)
AND (open_time >= ? AND open_time < ? OR open_time >= '') AND {_OFF_GRID}"""  # noqa: S608, made of constants

_ABSENCES: Final = f"""
SELECT open_time, kind, confirmed_at, reason, row, venue_at, file_at, sources FROM absence
WHERE series_id = ? AND open_time >= ? AND open_time < ? AND NOT EXISTS (
    SELECT 1 FROM candle
    WHERE candle.series_id = absence.series_id AND candle.open_time = absence.open_time AND {SOUND})
ORDER BY open_time"""  # noqa: S608, made of constants

# Newest first, so that `last` stops early; a negative LIMIT is none.
_READ: Final = """
SELECT open_time, open, high, low, close, volume FROM candle
WHERE series_id = (SELECT id FROM series WHERE venue = ? AND symbol = ? AND interval = ?)
AND open_time >= ? AND open_time < ? AND open_time % ? = 0 AND typeof(open_time) = 'integer'
ORDER BY open_time DESC LIMIT ?"""
_READ_WHOLE: Final = _READ.replace("ORDER BY", f"AND {SOUND}\nORDER BY")
_READ_OLDEST: Final = _READ_WHOLE.replace(" DESC", "")
# The same for a driver that takes no parameters: numbers only.
_READ_MANY: Final = f"""
SELECT open_time, open, high, low, close, volume FROM candle
WHERE series_id = {{}} AND open_time >= {{}} AND open_time < {{}} AND open_time % {{}} = 0
AND typeof(open_time) = 'integer' AND {SOUND} ORDER BY open_time"""  # noqa: S608, made of constants and numbers

# A text for a time is greater than any number, and in no range.
_ROWS_AT_MOST: Final = f"""
SELECT id, (SELECT min(open_time) FROM candle WHERE series_id = id AND open_time >= ? AND open_time < ?),
(SELECT max(open_time) FROM candle WHERE series_id = id AND open_time >= ? AND open_time < ?)
FROM series WHERE id = ({_SERIES_ID})"""  # noqa: S608, made of constants

# A store without candles and absences has no origin, whatever a run has announced that then got nothing.
_ORIGIN: Final = """
SELECT value FROM meta WHERE key = 'origin'
AND (EXISTS (SELECT 1 FROM candle) OR EXISTS (SELECT 1 FROM absence) OR EXISTS (SELECT 1 FROM absent_span))"""

_REVISIONS: Final = f"""
SELECT open_time, old, new, source, why, revised_at FROM revision
WHERE series_id = ({_SERIES_ID}) AND open_time >= ? AND open_time < ? ORDER BY open_time, id"""  # noqa: S608, made of constants

_PROVIDED: Final = (
    "SELECT venue, symbol, interval FROM series WHERE EXISTS (SELECT 1 FROM provenance WHERE series_id = series.id)"
)

_ABSENCE_COUNTS: Final = """
SELECT venue, kind, count(*), min(confirmed_at), max(confirmed_at)
FROM (SELECT series_id, kind, confirmed_at FROM absence UNION ALL SELECT series_id, kind, confirmed_at FROM absent_span)
JOIN series ON series.id = series_id GROUP BY venue, kind ORDER BY venue, kind"""

_NOTES: Final = "SELECT about, kind, value, noted_at, venue_at FROM laklak_notes WHERE value <> '' ORDER BY about, kind"

# People can put a text where a time belongs.
_FIRST: Final = (
    "(SELECT open_time FROM candle WHERE series_id = series.id AND typeof(open_time) = 'integer'"
    " ORDER BY open_time LIMIT 1)"
)
_FIRST_LAST: Final = f"{_FIRST}, {_FIRST.replace('LIMIT', 'DESC LIMIT')}"

_EDGES: Final = f"SELECT interval, {_FIRST_LAST} FROM series"  # noqa: S608, made of constants

_HOLDINGS: Final = f"""
SELECT venue, symbol, interval, {_FIRST_LAST},
    (SELECT min(open_time) FROM absence WHERE series_id = series.id),
    (SELECT max(open_time) FROM absence WHERE series_id = series.id)
FROM series ORDER BY venue, symbol, interval"""  # noqa: S608, made of constants


class SqliteStore(StoreBase):
    """Candles in a SQLite file; an async context manager (see laklak.stores.base.Store for the methods).

    Args:
        path: the file; `~` is not expanded here.
        create: make the file when it is missing or empty. Without it such a file stays as it is, reading gives
            nothing and writing fails.
        display: how the store is named to people; by default the URL of `path` from the root on, since the same name
            is another store in another folder.

    Raises:
        StoreUnavailable: on entering, when the file cannot be used or is not ours.
    """

    bytes_per_candle: int = 66
    """Measured: 65.2 bytes a candle in a file of 541 series x 90 days x 1m, filled eight series at a time."""
    # A file has one writer.
    writes_at_once: int = 1

    def __init__(self, path: str, *, create: bool = True, display: str | None = None) -> None:
        self.path = os.path.realpath(path)
        self._create = create
        self._display = display or f"sqlite:///{os.path.abspath(path)}"
        self._new = False
        self._identity: tuple[int, int] | None = None
        translate = partial(sqlite_file.translate, path=self.path)
        self._writer = Lane("laklak-sqlite-writer", partial(sqlite_file.open_writer, self.path), translate)
        # Whether the file may not be written to, and then, where nobody else does either, what it was like.
        self._kept = False
        self._still: tuple[int, int] | None = None
        self._readers = [
            Lane(f"laklak-sqlite-reader-{number}", self._open_reader, translate) for number in range(1, _READERS + 1)
        ]

    def __repr__(self) -> str:
        return f"<SqliteStore {self._display} writer={self._writer!r}>"

    @property
    def display(self) -> str:
        """The store's URL as it may be shown."""
        return self._display

    @property
    def identity(self) -> str:
        """The file itself, or its place while there is none."""
        found = _identity(self.path)
        return f"sqlite:{self.path}" if found is None else "sqlite:{}:{}".format(*found)

    @property
    def heard_s(self) -> float | None:
        """When a question or a write last came to its end; None while none has."""
        ends = (lane.ended_s for lane in (self._writer, *self._readers))
        return max((end_s for end_s in ends if end_s is not None), default=None)

    @property
    def waiting(self) -> Waiting | None:
        """Another program that holds the file, with a transaction of its own; None while there is none."""
        since_s = self._writer.blocked_since_s
        if since_s is None:
            return None
        what = f"another program is writing to {self._display}"
        return Waiting(what, since_s, None, since_s + sqlite_file.BUSY_TIMEOUT_S)

    async def _open(self) -> None:
        self._kept = not self._create and await asyncio.to_thread(sqlite_file.no_right, self.path) is not None
        self._new = await asyncio.to_thread(sqlite_file.is_blank, self.path, reading=self._kept)
        self._nothing = self._new and not self._create
        if self._kept and not self._nothing:
            self._still = await asyncio.to_thread(sqlite_file.stillness, self.path)
            await self._ask(lambda turn: None)
        elif not self._nothing:
            try:
                await self._writer.run(lambda turn: None)
            except StoreFull as exc:
                # Before anything was fetched there is nothing to end: the place is just no place for a store.
                raise StoreUnavailable(str(exc), hint="make room, or choose another file with --store") from exc
            self._identity = _identity(self.path)

    async def close(self) -> None:
        """End the threads; the log goes into the file unless another connection is in the way. Idempotent."""
        async with AsyncExitStack() as lanes:
            # Last in, first out: the readers let go before the log is brought in.
            lanes.push_async_callback(self._writer.close, sqlite_file.checkpoint)
            for reader in self._readers:
                lanes.push_async_callback(reader.close)

    def exclusive(self) -> AbstractContextManager[object]:
        """The lock that a backfill takes, so that there is one at a time; raises StoreBusy on entering.

        Readers and other writers need no lock.
        """
        if self._kept and (refusal := sqlite_file.no_right(self.path)):
            raise refusal
        return contextlib.nullcontext() if self._nothing else StoreLock.for_file(self.path)

    async def describe(self) -> StoreInfo:
        """What the store holds; candles are counted only where that is quick."""
        if self._nothing:
            return StoreInfo("new file", sqlite_file.free_bytes(self.path))
        return await self._ask(self._describe)

    async def examine(self) -> Sequence[Finding]:
        """The versions, the right to write, proven by an empty transaction, and who fills it."""
        if refusal := sqlite_file.no_right(self.path):
            return [Finding.of(refusal)]
        if self._nothing:
            # Entering made sure that the folder is there.
            found = [Finding("ok", "a backfill can make it")]
        else:
            found = await self._writer.run(_examine)
        return [*found, StoreLock.for_file(self.path).examine()]

    async def holdings(self) -> dict[Series, TimeRange]:
        """Every series with a candle, hole or reject: from its first to the end of its last, on the grid."""
        if self._nothing:
            return {}
        found = {}
        for venue, symbol, name, *edges in await self._ask(partial(_fetch_all, _HOLDINGS, ())):
            series = Series(venue, symbol, Interval.parse(name))
            span = held_span(series.interval, [edge for edge in edges if edge is not None])
            if span:
                found[series] = span
        return found

    async def odd(self, series: Series, span: TimeRange, *, anew: bool = False) -> Oddities:
        """See Store. Nothing is ever believed here: the file itself knows what is odd in it."""
        if self._nothing or not span:
            return Oddities()
        return await self._ask(partial(_odd, self.path, series, span))

    async def foreign(self, series: Series, span: TimeRange) -> Foreign | None:
        """Nothing: a table has the columns that it has, and a row one series."""
        return NOTHING_FOREIGN

    async def count(self, series: Series, span: TimeRange) -> int:
        return 0 if self._nothing else await self._ask(partial(_count, series, span))

    async def count_by_day(self, series: Series, span: TimeRange) -> dict[int, int]:
        return {} if self._nothing else await self._ask(partial(_count_by_day, series, span))

    async def sums_by_day(self, series: Series, span: TimeRange) -> dict[int, DaySums]:
        return {} if self._nothing else await self._ask(partial(_sums_by_day, series, span))

    async def open_times(self, series: Series, span: TimeRange) -> list[int]:
        return [] if self._nothing else await self._ask(partial(_open_times, series, span))

    async def absences(self, series: Series, span: TimeRange) -> list[Absence]:
        if self._nothing:
            return []
        return await self._ask(partial(_absences, series, span))

    def pack(self, candles: Candles) -> Candles:
        """The candles as flat columns."""
        return pack(candles)

    async def write(self, deliveries: Sequence[Delivery]) -> Written:
        await self._change(partial(write_deliveries, deliveries=deliveries))
        # SQLite goes on writing into a file that has lost its name, where the candles would never be found.
        if _identity(self.path) != self._identity:
            raise StoreError(
                f"the store {self.path} was deleted or replaced while it was being filled",
                hint="put it back, or run again to fill a new one",
            )
        return Written()

    async def provenance(self, series: Series, span: TimeRange) -> list[Stretch]:
        return [] if self._nothing else await self._ask(partial(_provenance, series, span))

    async def provided(self) -> Collection[Series]:
        rows = [] if self._nothing else await self._ask(partial(_fetch_all, _PROVIDED, ()))
        return [Series(venue, symbol, Interval.parse(name)) for venue, symbol, name in rows]

    async def revisions(self, series: Series, span: TimeRange) -> list[Revision]:
        if self._nothing:
            return []
        return [
            Revision(open_ms, row_values(old), row_values(new), source, why, at_ms)
            for open_ms, old, new, source, why, at_ms in await self._ask(
                partial(_fetch_all, _REVISIONS, _within(series, span))
            )
        ]

    async def absence_counts(self) -> list[AbsenceCount]:
        if self._nothing:
            return []
        return [AbsenceCount(*row) for row in await self._ask(partial(_fetch_all, _ABSENCE_COUNTS, ()))]

    async def read(self, series: Series, span: TimeRange, *, last: int | None = None, whole: bool = True) -> Columns:
        if self._nothing:
            return Columns(array("q"), tuple(array("d") for _ in range(5)))
        limit = -1 if last is None else max(0, last)
        return await self._ask(partial(_read, _READ_WHOLE if whole else _READ, (*_on_grid(series, span), limit)))

    async def batches(self, series: Series, span: TimeRange) -> AsyncGenerator[Columns]:
        """See Store. Many rows come of a process beside this one (laklak.stores.sqlite.bulk), in one transaction."""
        if self._nothing:
            return
        found = await self._ask(partial(_rows_at_most, series, span))
        if found is None:
            return
        series_id, rows = found
        start_ms = span.start_ms
        if rows >= bulk.WORTH_ROWS and bulk.can_read():
            step_ms = series.interval.ms
            select = _READ_MANY.format(series_id, start_ms, span.end_ms, step_ms)
            reading = bulk.BulkReading(self.path, select, still=self._still is not None)
            try:
                while (part := await asyncio.to_thread(reading.next)) is not None:
                    self._check_untouched()
                    start_ms = part.open_times[-1] + 1
                    yield part
                return
            except bulk.DriverFailed:
                # What keeps it from its work keeps us from ours, or does not; here it has a name.
                log.info("the driver gave rows up to %d only: read without it", start_ms)
            finally:
                reading.close()
        while True:
            rest = (*_on_grid(series, TimeRange(start_ms, span.end_ms)), bulk.BATCH_ROWS)
            part = await self._ask(partial(_read, _READ_OLDEST, rest))
            if not part.open_times:
                return
            start_ms = part.open_times[-1] + 1
            yield part

    async def origin(self) -> Origin | None:
        row = await self._one(_ORIGIN, ())
        return row[0] if row else None

    async def set_origin(self, origin: Origin) -> None:
        await self._change(partial(write_meta, key="origin", value=origin))

    async def notes(self) -> list[Note]:
        if self._nothing:
            return []
        return [Note(*row) for row in await self._ask(partial(_fetch_all, _NOTES, ()))]

    async def put_notes(self, notes: Sequence[Note]) -> None:
        await self._change(partial(write_notes, notes=notes))

    def check_range(self, span: TimeRange) -> None:
        """A file keeps everything."""

    def within_retention(self, span: TimeRange) -> TimeRange:
        return span

    async def closed_spans(self, venue: str, span: TimeRange) -> Sequence[ClosedSpan]:
        """A file takes every candle."""
        return ()

    async def record_run(self, run: RunRecord, *, keep_days: int | None = None) -> None:
        await self._change(partial(write_run, run=run, keep_days=keep_days))

    async def runs(self, last: int, *, series: Series | None = None, failed: bool = False) -> list[RunRecord]:
        if self._nothing:
            return []
        return await self._ask(partial(read_runs, last=last, series=series, failed=failed))

    async def _one(self, sql: str, parameters: tuple[object, ...]) -> tuple[Any, ...] | None:
        if self._nothing:
            return None
        return await self._ask(partial(_fetch_one, sql, parameters))

    async def _change(self, job: Callable[[Turn], None]) -> None:
        if self._nothing:
            raise StoreError(f"the store {self.path} does not exist and was opened for reading only")
        if self._kept and (refusal := sqlite_file.no_right(self.path)):
            raise refusal
        await self._writer.run(job)

    async def _ask(self, job: Callable[[Turn], T]) -> T:
        found = await min(self._readers, key=lambda lane: lane.pending).run(job)
        self._check_untouched()
        return found

    def _open_reader(self) -> sqlite3.Connection:
        if self._kept:
            return sqlite_file.open_kept(self.path, still=self._still is not None)
        return sqlite_file.open_reader(self.path)

    def _check_untouched(self) -> None:
        """A file that is read as it stands has no snapshots: what somebody writes meanwhile may be there by half."""
        if self._still is not None and sqlite_file.stillness(self.path) != self._still:
            raise StoreError(
                f"the store {self.path}, which may only be read, was written to meanwhile",
                hint="run again when that has ended",
            )

    def _describe(self, turn: Turn) -> StoreInfo:
        free, used = sqlite_file.free_bytes(self.path), sqlite_file.used_bytes(self.path)
        edges = [
            (first, last + Interval.parse(interval).ms)
            for interval, first, last in turn.connection.execute(_EDGES)
            if first is not None
        ]
        if not edges:
            return StoreInfo("new file" if self._new else "empty", free)
        parts = [f"{len(edges):,} series"]
        if used <= _COUNTED_BYTES:
            candles = turn.connection.execute("SELECT count(*) FROM candle").fetchone()[0]
            parts.append(f"{candles:,} candle{'' if candles == 1 else 's'}")
        parts.append(f"{iso(min(first for first, _ in edges))} to {iso(max(end for _, end in edges))}")
        parts.append(size_text(used))
        return StoreInfo(", ".join(parts), free)


def _examine(turn: Turn) -> list[Finding]:
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
    """A warning for each series where people have put what is no candle of any interval; quick, by the index."""
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
    """A warning for each series of a longer interval that has whole minutes off its grid."""
    found: list[Finding] = []
    unread: list[Finding] = []
    series = turn.connection.execute(_LONGER).fetchall()
    ends_s = time.monotonic() + _LOOK_S
    for done, (series_id, name, interval) in enumerate(series):
        if time.monotonic() > ends_s:
            text = (
                f"minutes off a longer grid were looked for in {done:,} of {len(series):,} series within {_LOOK_S:g} s"
            )
            # No fault: of a large store it is always so.
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


def _within(series: Series, span: TimeRange) -> tuple[str | int, ...]:
    return (series.venue, series.symbol, series.interval.name, span.start_ms, span.end_ms)


def _on_grid(series: Series, span: TimeRange) -> tuple[str | int, ...]:
    return (*_within(series, span), series.interval.ms)


def _fetch_one(sql: str, parameters: tuple[object, ...], turn: Turn) -> tuple[Any, ...] | None:
    row: tuple[Any, ...] | None = turn.connection.execute(sql, parameters).fetchone()
    return row


def _fetch_all(sql: str, parameters: tuple[object, ...], turn: Turn) -> list[Any]:
    return turn.connection.execute(sql, parameters).fetchall()


def _absences(series: Series, span: TimeRange, turn: Turn) -> list[Absence]:
    names = (series.venue, series.symbol, series.interval.name)
    found = turn.connection.execute(_SERIES_ID, names).fetchone()
    if found is None:
        return []
    step_ms, (series_id,) = series.interval.ms, found
    single = [
        Absence(
            TimeRange(open_ms, open_ms + step_ms), kind, noted_ms, reason, row, venue_ms, file_ms, split_words(words)
        )
        for open_ms, kind, noted_ms, reason, row, venue_ms, file_ms, words in turn.connection.execute(
            _ABSENCES, (series_id, span.start_ms, span.end_ms)
        )
    ]
    spans = true_spans(turn.connection, series_id, series.interval, span)
    return sorted([*spans, *outside_of(spans, single)], key=lambda absence: absence.span) if spans else single


def _provenance(series: Series, span: TimeRange, turn: Turn) -> list[Stretch]:
    names = (series.venue, series.symbol, series.interval.name)
    found = turn.connection.execute(_SERIES_ID, names).fetchone()
    rows = [] if found is None else stretches(turn.connection, found[0], span)
    cut = [(row, row.span.clip(span)) for row in rows]
    return [row.over(part) for row, part in cut if part]


def _count(series: Series, span: TimeRange, turn: Turn) -> int:
    rows = int(turn.connection.execute(*_counting(_COUNT, series, span)).fetchone()[0])
    return rows - len(_odd_among_counted(series, span, turn))


def _counting(sql: str, series: Series, span: TimeRange) -> tuple[str, tuple[str | int, ...]]:
    """A question for counts: that of minutes without a look at the grid, since the index knows who is off it."""
    if series.interval.ms > MINUTE_MS:
        return sql, _on_grid(series, span)
    return sql.replace(" AND open_time % ? = 0", ""), _within(series, span)


def _count_by_day(series: Series, span: TimeRange, turn: Turn) -> dict[int, int]:
    row = turn.connection.execute(*_counting(_COUNT_BY_DAY, series, span)).fetchone()
    days = [part.partition(":") for part in row[0].split(",")] if row[0] is not None else []
    counts = Counter({int(day) * DAY_MS: int(rows) for day, _, rows in days})
    counts.subtract(int(time_ms) // DAY_MS * DAY_MS for time_ms in _odd_among_counted(series, span, turn))
    return {day: count for day, count in counts.items() if count}


def _sums_by_day(series: Series, span: TimeRange, turn: Turn) -> dict[int, DaySums]:
    found: dict[int, DaySums] = {}
    odd = {int(time_ms) // DAY_MS * DAY_MS for time_ms in _odd_among_counted(series, span, turn)}
    for part in span.days():
        turn.check()
        day_ms = part.start_ms // DAY_MS * DAY_MS
        sql = _SUMS_AMONG_ODD if day_ms in odd else _SUMS
        rows, *sums, contradicting = turn.connection.execute(sql, _on_grid(series, part)).fetchone()
        if rows:
            found[day_ms] = DaySums(rows, tuple(map(float, sums)), bool(contradicting))
    return found


def _open_times(series: Series, span: TimeRange, turn: Turn) -> list[int]:
    row = turn.connection.execute(_OPEN_TIMES, _on_grid(series, span)).fetchone()
    if row[0] is None:
        return []
    # Sorted here: SQLite does not promise the order in which an aggregate sees its rows.
    return sorted(set(map(int, row[0].split(","))).difference(_odd_among_counted(series, span, turn)))


def _odd_rows(series: Series, span: TimeRange, turn: Turn) -> list[Any]:
    """The open_times of rows that cannot be candles, whatever they are; not whole minutes off a longer grid."""
    try:
        rows = turn.connection.execute(_ODD_ROWS, _within(series, span)).fetchall()
    except sqlite3.OperationalError as exc:
        # The index was dropped: counting takes longer, and is no less true.
        if "no such index" not in str(exc):
            raise
        rows = turn.connection.execute(_ODD_ROWS.replace("INDEXED BY candle_odd", ""), _within(series, span)).fetchall()
    return [row[0] for row in rows]


def _odd_among_counted(series: Series, span: TimeRange, turn: Turn) -> list[int | float]:
    times = [time_ms for time_ms in _odd_rows(series, span, turn) if isinstance(time_ms, int | float)]
    if series.interval.ms == MINUTE_MS:
        return times
    # SQLite takes the remainder of whole numbers: 60000.5 % 60000 is 0.
    return [time_ms for time_ms in times if not int(time_ms) % series.interval.ms]


def _odd(path: str, series: Series, span: TimeRange, turn: Turn) -> Oddities:
    odd = _odd_rows(series, span, turn)
    on_grid = sorted(time_ms for time_ms in odd if isinstance(time_ms, int) and not time_ms % series.interval.ms)
    strays = len(odd) - len(on_grid)
    if strays or series.interval.ms > MINUTE_MS:
        strays, first_ms = turn.connection.execute(_STRAYS, _on_grid(series, span)).fetchone()
    if not strays:
        return Oddities(on_grid)
    first_ns = int(first_ms * 1_000_000) if isinstance(first_ms, int | float) else None
    return Oddities(on_grid, Strays(strays, first_ns, (_removal(series, span),), f"in sqlite3 {path}"))


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


def _rows_at_most(series: Series, span: TimeRange, turn: Turn) -> tuple[int, int] | None:
    """The id of a series and how many candles it can have in `span`; None where it has none."""
    bounds = (span.start_ms, span.end_ms)
    names = (series.venue, series.symbol, series.interval.name)
    row = turn.connection.execute(_ROWS_AT_MOST, (*bounds, *bounds, *names)).fetchone()
    if row is None or row[1] is None:
        return None
    return row[0], int((row[2] - row[1]) // series.interval.ms) + 1


def _read(sql: str, parameters: tuple[object, ...], turn: Turn) -> Columns:
    """Candles, oldest first; the statement has ORDER BY open_time, with or without DESC."""
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
    """Cells as numbers; text that another program wrote into the table becomes NaN, which is no candle."""
    try:
        return array(typecode, cells)
    except TypeError:
        return array(typecode, [cell if isinstance(cell, float | int) else math.nan for cell in cells])


def _identity(path: str) -> tuple[int, int] | None:
    """What tells a file from another one of the same name; None when there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino
