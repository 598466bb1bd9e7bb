"""The InfluxDB store, 1.x and 2.x: a measurement of candles per venue, and what is known about them beside it.

`binance_ohlc` (tags exchange, symbol, timeframe; float fields open, high, low, close, volume; time = open_time),
`laklak_holes`, `laklak_absences`, `laklak_provenance`, `laklak_files`, `laklak_revisions`, `laklak_seals`,
`laklak_runs`, `laklak_notes` and `laklak_meta`, all in one database and retention policy, or in one bucket.  The store
reads and changes nothing else there.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import AsyncGenerator, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, aclosing
from pathlib import Path
from typing import Final

import anyio

from laklak.errors import StoreError, StoreRefused, StoreUnavailable
from laklak.model.absences import Absence
from laklak.model.candles import Candles
from laklak.model.findings import Finding
from laklak.model.provenance import BulkFile, Stretch
from laklak.model.records import Note, RunRecord
from laklak.model.revisions import Revision
from laklak.model.series import DAY_MS, Series, TimeRange, iso
from laklak.model.spans import overlap, runs, without
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
    held_span,
)
from laklak.stores.influx import checking as examine
from laklak.stores.influx.absences import AbsenceBook
from laklak.stores.influx.contents import Contents
from laklak.stores.influx.database import META, NOTES, Database, Retention, clipped
from laklak.stores.influx.dead_letter import DeadLetter
from laklak.stores.influx.files import FileBook
from laklak.stores.influx.lines import key_of, point_line
from laklak.stores.influx.odd_points import odd_points_findings
from laklak.stores.influx.provenance import provenance_book
from laklak.stores.influx.reader import CandleReader
from laklak.stores.influx.revisions import RevisionBook
from laklak.stores.influx.runs import RunBook
from laklak.stores.influx.types import FieldTypes
from laklak.stores.influx.writer import CandleWriter
from laklak.stores.lock import StoreLock
from laklak.text import MOVES_STATE

SCHEMA_VERSION: Final = 1
"""The version of a store's mark; a store with a higher one is not touched."""

_NOTES_PER_WRITE: Final = 1_000
# What a look at points has left when the other looks took all of their time.
_POINTS_LEAST_S: Final = 1.0


class InfluxStore(StoreBase):
    """Candles in a database of an InfluxDB server; an async context manager (see laklak.stores.base.Store).

    Args:
        database: the database, in the language of its server.
        state_dir: the folder of the lock that keeps out a second backfill of this machine.
        create: make a missing database if the rights allow. Without it reading returns nothing then, and writing
            fails.
        max_wait_s: how long a run waits for a server that is down or overloaded; at most 10 s on entering.
        dead_letter: the file for lines that the server refuses.
        lines_per_batch: lines in one request; `in_flight` requests go side by side.
        measurement: where candles are kept, with `{venue}` for the venue's name.
        start_wait_s: how long entering waits for a network that is not up yet.
        refusal_wait_s: how long entering waits for a server that refuses the connection.

    Raises:
        StoreUnavailable: on entering, if the server or the database cannot be used; one sentence says why.
    """

    bytes_per_candle: int = 32
    """Measured: 32 bytes a candle on a 1.6.7 server with 541 series x 90 days x 1m, written half an hour before."""
    # While the last requests of one write are in flight, those of the next keep the server busy.
    writes_at_once: int = 2

    def __init__(
        self,
        database: Database,
        *,
        state_dir: str | Path,
        create: bool,
        max_wait_s: float,
        dead_letter: str | Path,
        lines_per_batch: int,
        in_flight: int,
        measurement: str,
        start_wait_s: float = 0.0,
        refusal_wait_s: float = 0.0,
    ) -> None:
        self._database = database
        self._address = database.address
        self._state_dir = os.path.abspath(state_dir)
        self._create = create
        self._max_wait_s = max_wait_s
        self._dead_letter = os.path.abspath(dead_letter)
        self._lines_per_batch = lines_per_batch
        self._in_flight = in_flight
        self._measurement = measurement
        self._start_wait_s = min(start_wait_s, max_wait_s)
        self._refusal_wait_s = min(refusal_wait_s, max_wait_s)
        self._version = ""
        self._clock_ahead_ms = 0
        self._new = False
        self._newest_note_ms = 0
        self._opened: CandleReader | None = None

    def __repr__(self) -> str:
        return f"<InfluxStore {self.display} version={self._version or '?'}>"

    @property
    def display(self) -> str:
        """The store's URL as it may be shown."""
        return self._address.display

    @property
    def identity(self) -> str:
        """Server and database; several names of one server look like several servers."""
        return self._address.identity

    @property
    def version(self) -> str:
        """The version of the server, once entered."""
        return self._version

    @property
    def retention(self) -> Retention:
        """How long the server keeps what is written, once entered."""
        return self._database.retention

    @property
    def heard_s(self) -> float | None:
        """When anything last came from the server (monotonic); None before that."""
        return self._database.caller.heard_s

    @property
    def waiting(self) -> Waiting | None:
        """What keeps the server from answering; None while it works."""
        return self._database.caller.waiting

    async def _open(self) -> None:
        database, caller = self._database, self._database.caller
        caller.patience_s = min(caller.timing.opening_patience_s, self._max_wait_s)
        caller.start_wait_s, caller.refusal_wait_s = self._start_wait_s, self._refusal_wait_s
        opened = await database.open(create=self._create)
        self._version, self._clock_ahead_ms = opened.version, opened.clock_ahead_ms
        self._new, self._nothing = opened.made, not opened.exists
        if opened.exists:
            await self._check_schema()
            self._types = FieldTypes(database)
            self._reader = self._opened = CandleReader(database, self._types, self._measurement, self._oldest_ms)
            self._contents = Contents(database, self._reader, self._types, self._measurement)
            self._absences = AbsenceBook(database, self._reader, self._oldest_ms)
            self._provenance = provenance_book(database, self._oldest_ms)
            self._revisions = RevisionBook(database, self._oldest_ms)
            self._files = FileBook(database, self._oldest_ms)
            self._writer = CandleWriter(
                database,
                self._reader,
                DeadLetter(self._dead_letter, database.replay_remarks(self._dead_letter)),
                lines_per_batch=self._lines_per_batch,
                in_flight=self._in_flight,
            )
        caller.opening = False
        caller.patience_s = self._max_wait_s

    async def _check_schema(self) -> None:
        newest = await self._database.newest_schema() or SCHEMA_VERSION
        if newest > SCHEMA_VERSION:
            raise StoreUnavailable(
                f"{self.display} was written by a newer laklak (store version {newest}, known here {SCHEMA_VERSION})",
                hint=f"update laklak, or use another {self._address.noun}",
            )

    async def close(self) -> None:
        """Close the connections. Everything acknowledged is on the server already. Idempotent."""
        try:
            if self._opened is not None:
                # The next run looks again at what is not noted; do not wait long for it.
                with anyio.move_on_after(self._database.caller.timing.sealing_s):
                    await self._opened.seals.send_all()
                self._opened.seals.stop()
        finally:
            await self._database.close()

    def exclusive(self) -> AbstractContextManager[object]:
        """Return the lock that a backfill takes, one at a time on this machine; StoreBusy on entering.

        Readers and other writers need no lock.
        """
        if self._nothing:
            return contextlib.nullcontext()
        try:
            os.makedirs(self._state_dir, exist_ok=True)
        except OSError as exc:
            raise StoreUnavailable(
                f"cannot make the folder {self._state_dir} for the lock of the store: {exc.strerror or exc}",
                hint=f"make it, or set another one: {MOVES_STATE}",
            ) from exc
        return self._hold()

    @contextlib.contextmanager
    def _hold(self) -> Iterator[object]:
        with self._lock() as held:
            self._reader.seals.open()
            yield held

    def _lock(self) -> StoreLock:
        return StoreLock(os.path.join(self._state_dir, self._address.lock_name), self.display, moved_by=MOVES_STATE)

    # What there is

    async def describe(self) -> StoreInfo:
        """Say what the store holds; counts candles only if that is quick. A server does not tell its free space."""
        if self._nothing:
            return StoreInfo(f"no such {self._address.noun}", None)
        kept = self.retention.summary
        parts = await self._contents.summary()
        foreign = await self._contents.foreign()
        empty = f"new {self._address.noun}, {kept}" if self._new else "empty"
        holds = ", ".join([*parts, kept]) if parts else empty
        return StoreInfo(f"{holds}; neither read nor changed: {foreign}" if foreign else holds, None)

    async def examine(self) -> Sequence[Finding]:
        """Look at the server, its clock, the right to write or to make the database, retention, and who fills it."""
        found = [examine.server_finding(self._database, self._version), examine.clock_finding(self._clock_ahead_ms)]
        if self._nothing:
            found.append(await examine.making_finding(self._database))
        else:
            found.append(await examine.write_finding(self._database))
            found.append(examine.retention_finding(self.retention))
            started_s = anyio.current_time()
            found += await examine.types_findings(self._database, self._contents)
            found += await examine.doubles_findings(self._database, self._contents)
            timing = self._database.caller.timing
            # Two looks with a limit each, and both together leave the points what they did not take.
            left_s = 2 * timing.look_s - (anyio.current_time() - started_s)
            points_s = min(timing.points_s, max(left_s, _POINTS_LEAST_S))
            found += await odd_points_findings(self._contents, self._reader, points_s)
        return [*(finding for finding in found if finding), self._lock().examine()]

    async def holdings(self) -> dict[Series, TimeRange]:
        """Return every series with a candle, hole or reject: from its first to the end of its last, on the grid."""
        if self._nothing:
            return {}
        found = (await self._contents.series(), await self._absences.series())
        spans: dict[Series, TimeRange] = {}
        for series in sorted(set().union(*found), key=str):
            span = held_span(series.interval, [time_ms for edges in found for time_ms in edges.get(series, ())])
            if span:
                spans[series] = span
        return spans

    async def odd(self, series: Series, span: TimeRange, *, anew: bool = False) -> Oddities:
        return Oddities() if self._nothing else await self._reader.odd(series, clipped(span), anew=anew)

    async def foreign(self, series: Series, span: TimeRange) -> Foreign | None:
        return NOTHING_FOREIGN if self._nothing else await self._contents.foreign_beside(series, clipped(span))

    async def count(self, series: Series, span: TimeRange) -> int:
        return 0 if self._nothing else await self._reader.count(series, clipped(span))

    async def count_by_day(self, series: Series, span: TimeRange) -> dict[int, int]:
        return {} if self._nothing else await self._reader.count_by_day(series, clipped(span))

    async def sums_by_day(self, series: Series, span: TimeRange) -> dict[int, DaySums]:
        return {} if self._nothing else await self._reader.sums_by_day(series, clipped(span))

    async def open_times(self, series: Series, span: TimeRange) -> list[int]:
        return [] if self._nothing else await self._reader.open_times(series, clipped(span))

    async def absences(self, series: Series, span: TimeRange) -> list[Absence]:
        return [] if self._nothing else await self._absences.known(series, clipped(span))

    async def provenance(self, series: Series, span: TimeRange) -> list[Stretch]:
        rows = [] if self._nothing else await self._provenance.rows(series, anew=True)
        cut = [(row, row.span.clip(span)) for row in rows]
        return [row.over(part) for row, part in cut if part]

    async def bulk_files(self, series: Series, span: TimeRange) -> list[BulkFile]:
        span = clipped(span)
        return await self._files.of(series, span) if span and not self._nothing else []

    async def provided(self) -> Collection[Series]:
        return [] if self._nothing else await self._provenance.series()

    async def revisions(self, series: Series, span: TimeRange) -> list[Revision]:
        span = clipped(span)
        return await self._revisions.of(series, span) if span and not self._nothing else []

    async def absence_counts(self) -> Sequence[AbsenceCount]:
        return [] if self._nothing else await self._database.absence_counts()

    async def read(self, series: Series, span: TimeRange, *, last: int | None = None, whole: bool = True) -> Columns:
        if self._nothing:
            return Columns((), ((),) * 5)
        return await self._reader.candles(series, clipped(span), last, whole=whole)

    async def batches(self, series: Series, span: TimeRange) -> AsyncGenerator[Columns]:
        if self._nothing:
            return
        async with aclosing(self._reader.batches(series, clipped(span))) as found:
            async for part in found:
                yield part

    async def origin(self) -> Origin | None:
        """Whether the candles here came from a real venue or a simulator; None without candles."""
        if self._nothing:
            return None
        origin = await self._database.last_origin()
        if origin is None or not (await self._contents.series() or await self._absences.any()):
            return None
        known: Origin = "simulated" if origin == "simulated" else "real"
        return known

    # Retention

    def check_range(self, span: TimeRange) -> None:
        """Raise StoreUnavailable if the server would drop a part of `span`; names the days it keeps."""
        kept = self.within_retention(span)
        if kept.start_ms <= span.start_ms:
            return
        retention = self.retention
        # `--days N` begins N times 24 hours before the end of the range, which may be a while ago.
        days = (span.end_ms - kept.start_ms) // DAY_MS
        fit = f"--days {days} is the most that fits" if days > 0 else "not one whole day fits"
        less = f"use --days {days} or less, --within-retention to leave out what is older" if days > 0 else ""
        raise StoreUnavailable(
            f"the range begins at {iso(span.start_ms)}, and {retention.keeper} keeps {retention.kept}: {fit}",
            hint=f"{less or 'use --within-retention to leave out what is older'}, or {retention.other}",
        )

    def within_retention(self, span: TimeRange) -> TimeRange:
        """Return `span` without what the server would drop, to the minute; may be empty."""
        oldest_ms = None if self._nothing else self.retention.oldest_ms(self._now_ms())
        if oldest_ms is None:
            return span
        return TimeRange(max(span.start_ms, min(oldest_ms, span.end_ms)), span.end_ms)

    async def closed_spans(self, venue: str, span: TimeRange) -> Sequence[ClosedSpan]:
        """Return the shards in which fields of candles are no floats; StoreUnavailable if they are all of `span`."""
        span = clipped(span)
        if self._nothing or not span:
            return ()
        measurement = self._reader.measurement_of(venue)
        closed = await self._types.closed(measurement, span)
        if closed and not await self._types.open_parts(measurement, span):
            conflicts = ", ".join(sorted({one.conflicts for one in closed}))
            where = f"{measurement} in the {self._address.noun} {self._address.database}"
            raise StoreUnavailable(
                f"{where} keeps other types than floats: {conflicts}",
                hint=f"InfluxDB would refuse every candle of {iso(span.start_ms)} to {iso(span.end_ms)}: "
                f"{self._database.types_remedy(measurement, closed[0].shard)}",
            )
        return [
            ClosedSpan(
                one.span,
                f"{measurement} keeps other types than floats there ({one.conflicts})",
                self._database.types_remedy(measurement, one.shard),
            )
            for one in closed
        ]

    def _oldest_ms(self) -> int | None:
        return self.retention.oldest_ms(self._now_ms())

    def _now_ms(self) -> int:
        # The server's clock, because the server drops.
        return time.time_ns() // 1_000_000 + self._clock_ahead_ms

    # Writing

    def pack(self, candles: Candles) -> Candles:
        """Convert candles to lines."""
        return self._writer.pack(candles)

    async def write(self, deliveries: Sequence[Delivery]) -> Written:
        """Write candles, then settle absences; on return everything is acknowledged except what `refused` names.

        Not one transaction: when it raises, a part may be stored. Writing again leaves one candle of each.
        """
        self._must_exist()
        seals = self._reader.seals
        try:
            refused = await self._write(deliveries)
        except BaseException:
            seals.stop()
            raise
        for number, delivery in enumerate(deliveries):
            if delivery.candles:
                seals.wrote(delivery.series, delivery.candles.open_times, set(refused.get(number, ())))
        await seals.send()
        return Written(refused, self._dead_letter if refused else None)

    async def _write(self, deliveries: Sequence[Delivery]) -> dict[int, list[int]]:
        refused = await self._write_candles(deliveries)
        written: dict[Series, set[int]] = {}
        absent = {delivery.series for delivery in deliveries if delivery.absences}
        for number, delivery in enumerate(deliveries):
            if not delivery.candles:
                continue
            open_times = delivery.candles.open_times
            span = TimeRange(open_times[0], open_times[-1] + 1)
            # A month has many times, and most series have no absence that one of them could end.
            if delivery.series in absent or await self._absences.may_end(delivery.series, span):
                times = set(open_times).difference(refused.get(number, ()))
                written.setdefault(delivery.series, set()).update(times)
        for series, times in written.items():
            await self._absences.withdraw(series, times)
        for delivery in deliveries:
            if delivery.absences:
                await self._absences.record(delivery.series, delivery.absences, written.get(delivery.series, ()))
        await self._note_provenance(deliveries, refused)
        files: dict[Series, list[BulkFile]] = {}
        for delivery in deliveries:
            if delivery.files:
                files.setdefault(delivery.series, []).extend(delivery.files)
        if files:
            await self._files.add(files)
        return refused

    async def _write_candles(self, deliveries: Sequence[Delivery]) -> dict[int, list[int]]:
        """Write the candles, but first the values that they overwrite; return what was refused of each delivery."""
        revised: dict[Series, list[Revision]] = {}
        for one in deliveries:
            if one.revisions:
                revised.setdefault(one.series, []).extend(one.revisions)
        laid = await self._revisions.add(revised)
        refused = await self._writer.write(deliveries)
        if laid and refused:
            out = {(deliveries[number].series, time_ms) for number, times in refused.items() for time_ms in times}
            await self._revisions.withdraw([one for one in laid if (one[0], one[1].open_time_ms) in out])
        return refused

    async def _note_provenance(self, deliveries: Sequence[Delivery], refused: Mapping[int, Sequence[int]]) -> None:
        """Remember who gave the candles that are stored now."""
        given: dict[Series, list[Stretch]] = {}
        for number, delivery in enumerate(deliveries):
            out = runs(refused.get(number, ()), delivery.series.interval)
            for stretch in delivery.provenance:
                parts = without(stretch.span, overlap([stretch.span], out)) if out else [stretch.span]
                given.setdefault(delivery.series, []).extend(stretch.over(part) for part in parts)
        if given:
            await self._provenance.lay(given)

    async def set_origin(self, origin: Origin) -> None:
        """Remember where the candles come from; StoreUnavailable if this user may not write."""
        self._must_exist()
        try:
            await self._put(META, {"origin": origin, "schema": SCHEMA_VERSION}, self._now_ms())
        except StoreRefused as exc:
            # The first write of all: the server cannot have begun to refuse before.
            raise StoreUnavailable(str(exc), hint=exc.hint) from exc

    async def record_run(self, run: RunRecord, *, keep_days: int | None = None) -> None:
        self._must_exist()
        await RunBook(self._database).add(run, keep_days)

    async def runs(self, last: int, *, series: Series | None = None, failed: bool = False) -> list[RunRecord]:
        return [] if self._nothing else await RunBook(self._database).newest(last, series, failed=failed)

    async def notes(self) -> list[Note]:
        if self._nothing:
            return []
        found = await self._database.notes()
        self._newest_note_ms = max((time_ms for time_ms, _ in found), default=0)
        return [note for _, note in found if note.value]

    async def put_notes(self, notes: Sequence[Note]) -> None:
        """Add a point for each note, at the server's time: the newest one counts.

        Its clock is known to a second only and may have been set back, so each point comes after those that were read.
        """
        self._must_exist()
        now_ms = self._newest_note_ms = max(self._now_ms(), self._newest_note_ms + 1)
        lines = [
            point_line(
                key_of(NOTES, {"about": note.about, "kind": note.kind}),
                {"value": note.value, "noted_at": note.noted_at_ms, "venue_at": note.venue_ms or 0},
                now_ms,
            )
            for note in notes
        ]
        for start in range(0, len(lines), _NOTES_PER_WRITE):
            await self._send(NOTES, "".join(lines[start : start + _NOTES_PER_WRITE]))

    async def _put(self, measurement: str, fields: Mapping[str, str | int | float], time_ms: int) -> None:
        await self._send(measurement, point_line(key_of(measurement, {}), fields, time_ms))

    async def _send(self, measurement: str, lines: str) -> None:
        verdict = await self._database.write(lines.encode())
        if verdict.kind != "ok":
            address = self._address
            raise StoreError(
                f"InfluxDB at {address.server} does not take a point of {measurement}: {verdict.reason}",
                hint=f"look at the measurement {measurement} of the {address.noun} {address.database}",
            )

    def _must_exist(self) -> None:
        if self._nothing:
            noun = self._address.noun
            raise StoreError(f"the {noun} of {self.display} does not exist and was opened for reading only")
