"""The InfluxDB 1.x store: a measurement of candles per venue, and what is known about them beside it.

`binance_ohlc` (tags exchange, symbol, timeframe; float fields open, high, low, close, volume; time = open_time),
`laklak_holes`, `laklak_runs` and `laklak_meta`, all in one database and retention policy.  Nothing else in the database
is read or changed.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from laklak.errors import StoreError, StoreRefused, StoreUnavailable
from laklak.lineprotocol import key_of, point_line
from laklak.model import DAY_MS, Absence, RunRecord, Series, TimeRange, iso
from laklak.stores import influx_server, influxql
from laklak.stores.base import Columns, Delivery, Origin, StoreInfo, Written
from laklak.stores.influx_absences import AbsenceBook
from laklak.stores.influx_address import InfluxAddress, parse_influx_url
from laklak.stores.influx_contents import Contents
from laklak.stores.influx_dead_letter import FILE_NAME, DeadLetter
from laklak.stores.influx_http import InfluxClient
from laklak.stores.influx_read import CandleReader
from laklak.stores.influx_server import RetentionPolicy
from laklak.stores.influx_write import CandleWriter
from laklak.stores.lock import StoreLock

LINES_PER_BATCH: Final = 5_000
IN_FLIGHT: Final = 4
MEASUREMENT: Final = "{venue}_ohlc"
SCHEMA_VERSION: Final = 1
"""The version that a store is marked with; a store with a higher one is not touched."""

_OPENING_PATIENCE_S: Final = 10.0
_RUNS, _META = "laklak_runs", "laklak_meta"


def open_influx(
    text: str,
    environment: Mapping[str, str],
    *,
    state_dir: str | Path,
    create: bool = True,
    max_wait_s: float = 600.0,
    dead_letter: str | Path = FILE_NAME,
    gzip: bool = False,
    lines_per_batch: int = LINES_PER_BATCH,
    measurement: str = MEASUREMENT,
) -> InfluxStore:
    """Give the store at an address like `influxdb://me@localhost/market_data`, to be entered with `async with`.

    Args:
        environment: where the password is looked for when the address names a user and no password.

    The others are those of InfluxStore.  Raises StoreUnavailable when there is no such address.
    """
    return InfluxStore(
        parse_influx_url(text, environment),
        state_dir=state_dir,
        create=create,
        max_wait_s=max_wait_s,
        dead_letter=dead_letter,
        gzip=gzip,
        lines_per_batch=lines_per_batch,
        measurement=measurement,
    )


class InfluxStore:
    """Candles in an InfluxDB 1.x database; an async context manager (see laklak.stores.base.Store for the methods).

    Args:
        address: server, database and login.
        state_dir: the folder of the lock that keeps a second backfill of this machine out.
        create: make the database when it is missing and the rights allow. Without it reading gives nothing then, and
            writing fails.
        max_wait_s: how long a server that is down or overloaded is waited for in a run; 10 s at most on entering.
        dead_letter: the file for lines that the server refuses.
        gzip: compress what is written, at level 1.
        lines_per_batch: lines in one request.
        measurement: where candles are kept, with `{venue}` for the venue's name.

    Raises:
        StoreUnavailable: on entering, when the server or the database cannot be used; one sentence says why.
    """

    bytes_per_candle: int = 32
    """Measured: 32 bytes a candle on a 1.6.7 server with 541 series x 90 days x 1m, written half an hour before."""

    def __init__(
        self,
        address: InfluxAddress,
        *,
        state_dir: str | Path,
        create: bool = True,
        max_wait_s: float = 600.0,
        dead_letter: str | Path = FILE_NAME,
        gzip: bool = False,
        lines_per_batch: int = LINES_PER_BATCH,
        in_flight: int = IN_FLIGHT,
        measurement: str = MEASUREMENT,
    ) -> None:
        self._address = address
        self._state_dir = os.path.abspath(state_dir)
        self._create = create
        self._max_wait_s = max_wait_s
        self._dead_letter = os.path.abspath(dead_letter)
        self._lines_per_batch = lines_per_batch
        self._in_flight = in_flight
        self._measurement = measurement
        self._client = InfluxClient(
            address, connections=in_flight + 4, gzip=gzip, patience_s=min(_OPENING_PATIENCE_S, max_wait_s)
        )
        self._version = ""
        self._clock_ahead_ms = 0
        self._new = False
        # Without `create`: there is no database to ask.
        self._nothing = False

    def __repr__(self) -> str:
        return f"<InfluxStore {self.display} version={self._version or '?'}>"

    @property
    def display(self) -> str:
        """The store's URL as it may be shown."""
        return self._address.display

    @property
    def exists(self) -> bool:
        """Whether there is a database; False only when it was opened without `create` and is not there."""
        return not self._nothing

    @property
    def version(self) -> str:
        """The version of the server, once entered."""
        return self._version

    @property
    def policy(self) -> RetentionPolicy:
        """The retention policy that candles are kept in, once entered."""
        return self._policy

    async def __aenter__(self) -> Self:
        try:
            self._client.open()
            await self._open()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _open(self) -> None:
        greeting = await influx_server.check_server(self._client)
        self._version, self._clock_ahead_ms = greeting.version or "", greeting.clock_ahead_ms
        exists, self._new = await influx_server.find_database(self._client, create=self._create)
        self._nothing = not exists
        if exists:
            self._policy = await influx_server.find_policy(self._client)
            await self._check_schema()
            self._reader = CandleReader(self._client, self._policy.name, self._measurement)
            self._contents = Contents(self._client, self._policy.name, self._reader, self._measurement)
            self._absences = AbsenceBook(self._client, self._policy.name, self._reader)
            self._writer = CandleWriter(
                self._client,
                self._policy.name,
                self._reader,
                DeadLetter(self._dead_letter, self._address.database, self._policy.name),
                lines_per_batch=self._lines_per_batch,
                in_flight=self._in_flight,
            )
        self._client.opening = False
        self._client.patience_s = self._max_wait_s

    async def _check_schema(self) -> None:
        found = await self._client.query(influxql.select('max("schema")', self._place(_META)))
        newest = found[0][0].values[0][1] if found[0] else SCHEMA_VERSION
        if newest > SCHEMA_VERSION:
            raise StoreUnavailable(
                f"{self.display} was written by a newer laklak (store version {newest}, known here {SCHEMA_VERSION})",
                hint="update laklak, or use another database",
            )

    async def close(self) -> None:
        """Close the connections. Everything that was acknowledged is on the server already. Idempotent."""
        await self._client.close()

    def exclusive(self) -> AbstractContextManager[object]:
        """The lock that a backfill takes, so that there is one at a time on this machine; StoreBusy on entering.

        Readers and other writers need no lock.
        """
        if self._nothing:
            return contextlib.nullcontext()
        try:
            os.makedirs(self._state_dir, exist_ok=True)
        except OSError as exc:
            raise StoreUnavailable(
                f"cannot make the folder {self._state_dir} for the lock of the store: {exc.strerror or exc}",
                hint="make it, or set another state folder",
            ) from exc
        return StoreLock(os.path.join(self._state_dir, self._address.lock_name), self.display)

    # What there is

    async def describe(self) -> StoreInfo:
        """What the store holds; candles are counted only where that is quick. A server does not tell its free space."""
        if self._nothing:
            return StoreInfo("no such database", None)
        policy = f"retention policy {self._policy.name} (kept {self._policy.kept})"
        parts = await self._contents.summary()
        foreign = await self._contents.foreign()
        holds = ", ".join([*parts, policy]) if parts else f"new database, {policy}" if self._new else "empty"
        return StoreInfo(f"{holds}; neither read nor changed: {foreign}" if foreign else holds, None)

    async def count(self, series: Series, span: TimeRange) -> int:
        return 0 if self._nothing else await self._reader.count(series, span)

    async def count_by_day(self, series: Series, span: TimeRange) -> dict[int, int]:
        return {} if self._nothing else await self._reader.count_by_day(series, span)

    async def open_times(self, series: Series, span: TimeRange) -> list[int]:
        return [] if self._nothing else await self._reader.open_times(series, span)

    async def absences(self, series: Series, span: TimeRange) -> list[Absence]:
        return [] if self._nothing else await self._absences.known(series, span)

    async def read(self, series: Series, span: TimeRange, *, last: int | None = None) -> Columns:
        if self._nothing:
            return Columns((), ((),) * 5)
        return await self._reader.candles(series, span, last)

    async def origin(self) -> Origin | None:
        """Whether the candles here came from a real venue or a simulator; None while there are none."""
        if self._nothing:
            return None
        found = await self._client.query(influxql.select('last("origin")', self._place(_META)))
        if not found[0]:
            return None
        origin: Origin = found[0][0].values[0][1]
        return origin if await self._contents.any_candle() or await self._absences.any() else None

    # Retention

    def check_range(self, span: TimeRange) -> None:
        """Raise StoreUnavailable when the retention policy would drop a part of `span`; names the days it keeps."""
        kept = self.within_retention(span)
        if kept.start_ms <= span.start_ms:
            return
        policy = self._policy
        # `--days N` begins N times 24 hours before the end of the range, which may be a while ago.
        days = (span.end_ms - kept.start_ms) // DAY_MS
        fit = f"--days {days} is the most that fits" if days > 0 else "not one whole day fits"
        less = f"use --days {days} or less, --within-retention to leave out what is older" if days > 0 else ""
        raise StoreUnavailable(
            f"the range begins at {iso(span.start_ms)}, and the retention policy {policy.name} of the database "
            f"{self._address.database} keeps {policy.kept}: {fit}",
            hint=f"{less or 'use --within-retention to leave out what is older'}, or another policy with ?rp=NAME",
        )

    def within_retention(self, span: TimeRange) -> TimeRange:
        """`span` without what the retention policy would drop, to the minute; may be empty."""
        oldest_ms = None if self._nothing else self._policy.oldest_ms(self._now_ms())
        if oldest_ms is None:
            return span
        return TimeRange(max(span.start_ms, min(oldest_ms, span.end_ms)), span.end_ms)

    def _now_ms(self) -> int:
        # The server's clock: it is the one that drops.
        return time.time_ns() // 1_000_000 + self._clock_ahead_ms

    # Writing

    async def write(self, deliveries: Sequence[Delivery]) -> Written:
        """Write candles, then settle absences; on return all of it is acknowledged but what `refused` names.

        Not one transaction: when it raises, a part may be stored. Writing again leaves one candle of each.
        """
        self._must_exist()
        refused = await self._writer.write(deliveries)
        written: dict[Series, set[int]] = {}
        for number, delivery in enumerate(deliveries):
            if delivery.candles:
                times = set(delivery.candles.open_times).difference(refused.get(number, ()))
                written.setdefault(delivery.series, set()).update(times)
        for series, times in written.items():
            await self._absences.withdraw(series, times)
        for delivery in deliveries:
            if delivery.absences:
                await self._absences.record(delivery.series, delivery.absences, written.get(delivery.series, ()))
        return Written(refused, self._dead_letter if refused else None)

    async def set_origin(self, origin: Origin) -> None:
        """Remember where the candles come from; StoreUnavailable when this user may not write."""
        self._must_exist()
        try:
            await self._put(_META, {"origin": origin, "schema": SCHEMA_VERSION}, self._now_ms())
        except StoreRefused as exc:
            # The first thing that is ever written: nothing has begun that a server could have begun to refuse.
            raise StoreUnavailable(str(exc), hint=exc.hint) from exc

    async def record_run(self, run: RunRecord) -> None:
        """Add one point to laklak_runs, at the time the run ended."""
        self._must_exist()
        await self._put(_RUNS, _run_fields(run), run.ended_ms)

    async def _put(self, measurement: str, fields: Mapping[str, str | int | float], time_ms: int) -> None:
        line = point_line(key_of(measurement, {}), fields, time_ms)
        verdict = await self._client.write(line.encode(), self._policy.name)
        if verdict.kind != "ok":
            raise StoreError(
                f"InfluxDB at {self._address.server} does not take a point of {measurement}: {verdict.reason}",
                hint=f"look at the measurement {measurement} of the database {self._address.database}",
            )

    def _place(self, measurement: str) -> str:
        return influxql.source(self._address.database, self._policy.name, measurement)

    def _must_exist(self) -> None:
        if self._nothing:
            raise StoreError(f"the database of {self.display} does not exist and was opened for reading only")


def _run_fields(run: RunRecord) -> dict[str, str | int | float]:
    return {
        "started_at": iso(run.started_ms),
        "seconds": (run.ended_ms - run.started_ms) / 1000,
        "version": run.version,
        "range_start": iso(run.start_ms),
        "range_end": iso(run.end_ms),
        "interval": run.interval,
        "series": run.series,
        "wanted": run.wanted,
        "stored_before": run.stored_before,
        "stored_after": run.stored_after,
        "written": run.written,
        "holes": run.holes,
        "rejected": run.rejected,
        "missing": run.missing,
        "requests": run.requests,
        "weight": run.weight,
        "result": run.result,
        "exit_code": run.exit_code,
        "error": run.error or "",
    }
