"""The SQLite store: one file, which any program can read while it is written.

One thread with one connection writes, two others read beside it (WAL): nothing here runs on the event loop, and a long
count does not delay a write. Queries return as few rows as possible, since each row competes with a busy event loop for
the interpreter lock.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sqlite3
from array import array
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from contextlib import AbstractContextManager, AsyncExitStack
from functools import partial
from typing import Any, Final, TypeVar

from laklak.errors import StoreError, StoreFull, StoreUnavailable
from laklak.model.absences import Absence
from laklak.model.candles import Candles
from laklak.model.findings import Finding
from laklak.model.provenance import BulkFile, Stretch
from laklak.model.records import Note, RunRecord
from laklak.model.revisions import Revision, row_values
from laklak.model.series import Interval, Series, TimeRange
from laklak.stores.base import (
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
    Waiting,
    Written,
)
from laklak.stores.lock import StoreLock
from laklak.stores.sqlite import absences, bulk, checking, contents, counting, odd_rows, spans
from laklak.stores.sqlite import file as sqlite_file
from laklak.stores.sqlite.lane import Lane, Turn
from laklak.stores.sqlite.read import (
    READ,
    READ_MANY,
    READ_OLDEST,
    READ_WHOLE,
    on_grid,
    read_columns,
    rows_at_most,
    within,
)
from laklak.stores.sqlite.runs import read_runs, write_run
from laklak.stores.sqlite.schema import SERIES_ID
from laklak.stores.sqlite.write import pack, write_deliveries, write_meta, write_notes

log = logging.getLogger(__name__)

T = TypeVar("T")

_READERS: Final = 2

# A store without candles and absences has no origin, even if a run announced one and then got nothing.
_ORIGIN: Final = """
SELECT value FROM meta WHERE key = 'origin'
AND (EXISTS (SELECT 1 FROM candle) OR EXISTS (SELECT 1 FROM absence) OR EXISTS (SELECT 1 FROM absent_span))"""

_REVISIONS: Final = f"""
SELECT open_time, old, new, source, why, revised_at FROM revision
WHERE series_id = ({SERIES_ID}) AND open_time >= ? AND open_time < ? ORDER BY open_time, id"""  # noqa: S608, made of constants

# They are few, and a file's end says little about its start: the query looks through all files of a series.
_BULK_FILES: Final = f"""
SELECT start_time, end_time, name, sha256, run FROM bulk_file
WHERE series_id = ({SERIES_ID}) AND start_time < ? AND end_time > ? ORDER BY start_time, end_time"""  # noqa: S608, made of constants

_PROVIDED: Final = (
    "SELECT venue, symbol, interval FROM series WHERE EXISTS (SELECT 1 FROM provenance WHERE series_id = series.id)"
)

_ABSENCE_COUNTS: Final = """
SELECT venue, kind, count(*), min(confirmed_at), max(confirmed_at)
FROM (SELECT series_id, kind, confirmed_at FROM absence UNION ALL SELECT series_id, kind, confirmed_at FROM absent_span)
JOIN series ON series.id = series_id GROUP BY venue, kind ORDER BY venue, kind"""

_NOTES: Final = "SELECT about, kind, value, noted_at, venue_at FROM laklak_notes WHERE value <> '' ORDER BY about, kind"


class SqliteStore(StoreBase):
    """Candles in a SQLite file; an async context manager (see laklak.stores.base.Store for the methods).

    Args:
        path: the file; `~` is not expanded here.
        create: make the file if it is missing or empty. Without it such a file stays as it is, reading gives
            nothing and writing fails.
        display: the store's name for people; by default the URL of the absolute `path`, since a relative one
            means another store in another folder.

    Raises:
        StoreUnavailable: on entering, if the file cannot be used or is not ours.
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
        # Whether the file may not be written to; if nobody else writes to it either, its time and size.
        self._kept = False
        self._still: tuple[int, int] | None = None
        self._readers = [
            Lane(f"laklak-sqlite-reader-{number}", self._open_reader, translate) for number in range(1, _READERS + 1)
        ]

    def __repr__(self) -> str:
        return f"<SqliteStore {self._display} writer={self._writer!r}>"

    @property
    def display(self) -> str:
        """The store's URL, safe to show."""
        return self._display

    @property
    def identity(self) -> str:
        """The file's identity; its path while there is no file."""
        found = sqlite_file.identity(self.path)
        return f"sqlite:{self.path}" if found is None else "sqlite:{}:{}".format(*found)

    @property
    def heard_s(self) -> float | None:
        """When a question or a write last ended (monotonic); None before the first."""
        ends = (lane.ended_s for lane in (self._writer, *self._readers))
        return max((end_s for end_s in ends if end_s is not None), default=None)

    @property
    def waiting(self) -> Waiting | None:
        """Another program that holds the file with its own transaction; None if there is none."""
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
                # Nothing was fetched yet, so no run ends: the place is unfit for a store.
                raise StoreUnavailable(str(exc), hint="make room, or choose another file with --store") from exc
            self._identity = sqlite_file.identity(self.path)

    async def close(self) -> None:
        """End the threads; merge the log into the file unless another connection is in the way. Idempotent."""
        async with AsyncExitStack() as lanes:
            # Last in, first out: the readers let go before the log is merged.
            lanes.push_async_callback(self._writer.close, sqlite_file.checkpoint)
            for reader in self._readers:
                lanes.push_async_callback(reader.close)

    def exclusive(self) -> AbstractContextManager[object]:
        """The lock of a backfill, so that only one runs at a time; raises StoreBusy on entering.

        Readers and other writers need no lock.
        """
        if self._kept and (refusal := sqlite_file.no_right(self.path)):
            raise refusal
        return contextlib.nullcontext() if self._nothing else StoreLock.for_file(self.path)

    async def describe(self) -> StoreInfo:
        """Describe the store; candles are counted only if that is quick."""
        if self._nothing:
            return StoreInfo("new file", sqlite_file.free_bytes(self.path))
        return await self._ask(partial(contents.describe, self.path, self._new))

    async def examine(self) -> Sequence[Finding]:
        """The versions, the right to write (proven by an empty transaction), and who fills the store."""
        if refusal := sqlite_file.no_right(self.path):
            return [Finding.of(refusal)]
        if self._nothing:
            # Entering made sure that the folder is there.
            found = [Finding("ok", "a backfill can make it")]
        else:
            found = await self._writer.run(checking.examine)
        return [*found, StoreLock.for_file(self.path).examine()]

    async def holdings(self) -> dict[Series, TimeRange]:
        """Return every series with a candle, hole or reject: from its first to the end of its last, on the grid."""
        if self._nothing:
            return {}
        return await self._ask(contents.holdings)

    async def odd(self, series: Series, span: TimeRange, *, anew: bool = False) -> Oddities:
        """See Store. No earlier note is trusted: the file itself shows what is odd in it."""
        if self._nothing or not span:
            return Oddities()
        return await self._ask(partial(odd_rows.odd, self.path, series, span))

    async def foreign(self, series: Series, span: TimeRange) -> Foreign | None:
        """Nothing: a table has fixed columns, and a row belongs to one series."""
        return NOTHING_FOREIGN

    async def count(self, series: Series, span: TimeRange) -> int:
        return 0 if self._nothing else await self._ask(partial(counting.count, series, span))

    async def count_by_day(self, series: Series, span: TimeRange) -> dict[int, int]:
        return {} if self._nothing else await self._ask(partial(counting.count_by_day, series, span))

    async def sums_by_day(self, series: Series, span: TimeRange) -> dict[int, DaySums]:
        return {} if self._nothing else await self._ask(partial(counting.sums_by_day, series, span))

    async def open_times(self, series: Series, span: TimeRange) -> list[int]:
        return [] if self._nothing else await self._ask(partial(counting.open_times, series, span))

    async def absences(self, series: Series, span: TimeRange) -> list[Absence]:
        if self._nothing:
            return []
        return await self._ask(partial(absences.absences, series, span))

    def pack(self, candles: Candles) -> Candles:
        """Return the candles as flat columns."""
        return pack(candles)

    async def write(self, deliveries: Sequence[Delivery]) -> Written:
        await self._change(partial(write_deliveries, deliveries=deliveries))
        # SQLite keeps writing to a file that lost its name, where nobody would find the candles.
        if sqlite_file.identity(self.path) != self._identity:
            raise StoreError(
                f"the store {self.path} was deleted or replaced while it was being filled",
                hint="put it back, or run again to fill a new one",
            )
        return Written()

    async def provenance(self, series: Series, span: TimeRange) -> list[Stretch]:
        return [] if self._nothing else await self._ask(partial(spans.provenance, series, span))

    async def bulk_files(self, series: Series, span: TimeRange) -> list[BulkFile]:
        if self._nothing:
            return []
        names = (series.venue, series.symbol, series.interval.name)
        found = await self._ask(partial(_fetch_all, _BULK_FILES, (*names, span.end_ms, span.start_ms)))
        return [BulkFile(TimeRange(start_ms, end_ms), *known) for start_ms, end_ms, *known in found]

    async def provided(self) -> Collection[Series]:
        rows = [] if self._nothing else await self._ask(partial(_fetch_all, _PROVIDED, ()))
        return [Series(venue, symbol, Interval.parse(name)) for venue, symbol, name in rows]

    async def revisions(self, series: Series, span: TimeRange) -> list[Revision]:
        if self._nothing:
            return []
        return [
            Revision(open_ms, row_values(old), row_values(new), source, why, at_ms)
            for open_ms, old, new, source, why, at_ms in await self._ask(
                partial(_fetch_all, _REVISIONS, within(series, span))
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
        return await self._ask(partial(read_columns, READ_WHOLE if whole else READ, (*on_grid(series, span), limit)))

    async def batches(self, series: Series, span: TimeRange) -> AsyncGenerator[Columns]:
        """See Store. Many rows come from a separate process (laklak.stores.sqlite.bulk), in one transaction."""
        if self._nothing:
            return
        found = await self._ask(partial(rows_at_most, series, span))
        if found is None:
            return
        series_id, rows = found
        start_ms = span.start_ms
        if rows >= bulk.WORTH_ROWS and bulk.can_read():
            step_ms = series.interval.ms
            select = READ_MANY.format(series_id, start_ms, span.end_ms, step_ms)
            reading = bulk.BulkReading(self.path, select, still=self._still is not None)
            try:
                while (part := await asyncio.to_thread(reading.next)) is not None:
                    self._check_untouched()
                    start_ms = part.open_times[-1] + 1
                    yield part
                return
            except bulk.DriverFailed:
                # If the cause stops us too, the read below names it.
                log.info("the driver gave rows up to %d only: read without it", start_ms)
            finally:
                reading.close()
        while True:
            rest = (*on_grid(series, TimeRange(start_ms, span.end_ms)), bulk.BATCH_ROWS)
            part = await self._ask(partial(read_columns, READ_OLDEST, rest))
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
        """A file read as it stands has no snapshots: a concurrent write may show by half."""
        if self._still is not None and sqlite_file.stillness(self.path) != self._still:
            raise StoreError(
                f"the store {self.path}, which may only be read, was written to meanwhile",
                hint="run again when that has ended",
            )


def _fetch_one(sql: str, parameters: tuple[object, ...], turn: Turn) -> tuple[Any, ...] | None:
    row: tuple[Any, ...] | None = turn.connection.execute(sql, parameters).fetchone()
    return row


def _fetch_all(sql: str, parameters: tuple[object, ...], turn: Turn) -> list[Any]:
    return turn.connection.execute(sql, parameters).fetchall()
