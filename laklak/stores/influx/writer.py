"""Candles written to InfluxDB: in batches, several in flight, and counted only once the server has said 204."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import anyio

from laklak.model.candles import Candles
from laklak.model.series import Series, TimeRange
from laklak.stores.base import Delivery
from laklak.stores.influx.database import Database
from laklak.stores.influx.dead_letter import DeadLetter
from laklak.stores.influx.lines import CandleLines, candle_lines, key_of, tags_of
from laklak.stores.influx.reader import CandleReader
from laklak.tasks.groups import task_group

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Piece:
    """The candles `start` to `stop` of a delivery, number `delivery` of the write; `key` begins its lines."""

    delivery: int
    key: str
    candles: Candles
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def span(self) -> TimeRange:
        return TimeRange(self.candles.open_times[self.start], self.candles.open_times[self.stop - 1] + 1)

    def cut(self, at: int) -> tuple[Piece, Piece]:
        """Return the first `at` candles, and the others."""
        middle = self.start + at
        return self.part(self.start, middle), self.part(middle, self.stop)

    def part(self, start: int, stop: int) -> Piece:
        """Return the candles `start` to `stop` of the same delivery."""
        return Piece(self.delivery, self.key, self.candles, start, stop)

    def lines(self) -> bytes:
        if isinstance(self.candles, CandleLines):
            return self.candles.lines(self.start, self.stop)
        return candle_lines(self.candles, self.key, self.start, self.stop)


Batch = tuple[Piece, ...]


class CandleWriter:
    """Writes deliveries; sends what the server would not take to the dead letter, and returns it."""

    def __init__(
        self,
        database: Database,
        reader: CandleReader,
        dead_letter: DeadLetter,
        *,
        lines_per_batch: int,
        in_flight: int,
    ) -> None:
        self._database = database
        self._reader = reader
        self._dead_letter = dead_letter
        self._lines_per_batch = lines_per_batch
        self._slots = anyio.Semaphore(in_flight)

    async def write(self, deliveries: Sequence[Delivery]) -> dict[int, list[int]]:
        """Write all candles; return, by number of the delivery, the open_times refused for good, rising."""
        pieces = [
            piece
            for i, delivery in enumerate(deliveries)
            if delivery.candles
            for piece in self._pieces(i, delivery.candles)
        ]
        refused: dict[int, list[int]] = {}
        try:
            for wave in waves(pieces):
                await self._write_wave(wave, refused)
        finally:
            for piece in pieces:
                self._reader.changed(piece.candles.series)
        return {number: sorted(times) for number, times in refused.items()}

    def pack(self, candles: Candles) -> CandleLines:
        """Convert candles to the lines of whole requests."""
        return CandleLines.of(candles, self._key(candles.series), self._lines_per_batch)

    def _pieces(self, delivery: int, candles: Candles) -> Iterator[Piece]:
        key = self._key(candles.series)
        for start in range(0, len(candles), self._lines_per_batch):
            yield Piece(delivery, key, candles, start, min(start + self._lines_per_batch, len(candles)))

    def _key(self, series: Series) -> str:
        return key_of(self._reader.measurement_of(series.venue), tags_of(series))

    async def _write_wave(self, wave: Sequence[Piece], refused: dict[int, list[int]]) -> None:
        async with task_group() as group:
            for batch in batches(wave, self._lines_per_batch):
                group.start_soon(self._write_batch, batch, refused)

    async def _write_batch(self, batch: Batch, refused: dict[int, list[int]]) -> None:
        # Lines are made only once they can be sent: the text of a large write never exists as a whole.
        async with self._slots:
            await self._send(batch, refused)

    async def _send(self, batch: Batch, refused: dict[int, list[int]]) -> None:
        verdict = await self._database.write(b"".join([piece.lines() for piece in batch]))
        if verdict.kind == "lines refused":
            await self._find_refused(batch, verdict.reason, refused)
        elif verdict.kind == "send less":
            if sum(map(len, batch)) == 1:
                await self._refuse(batch, verdict.reason, refused)
            else:
                for half in halves(batch):
                    await self._send(half, refused)

    async def _find_refused(self, batch: Batch, reason: str, refused: dict[int, list[int]]) -> None:
        # Do not trust a server's own count of what it dropped (1.6.7 loses a line and says dropped=0), nor the time
        # alone, because another value may have been there before: compare what is stored with what was sent.
        absent = [piece for whole in batch for piece in await self._absent(whole)]
        shards: dict[int, list[Piece]] = {}
        for piece in absent:
            shards.setdefault(self._shard_of(piece), []).append(piece)
        if len({self._shard_of(piece) for whole in batch for piece in self._by_shard(whole)}) == 1:
            await self._refuse(absent, reason, refused)
            return
        # If lines of one shard are refused, the server may call off the writes to others (2.7.12), so send each alone.
        for shard in sorted(shards):
            await self._send(tuple(shards[shard]), refused)

    async def _absent(self, piece: Piece) -> list[Piece]:
        """Return the parts of a piece that are not stored, each in one shard."""
        found = await self._reader.candles(piece.candles.series, piece.span)
        stored = dict(zip(found.open_times, zip(*found.values, strict=True), strict=True))
        times, sent = piece.candles.open_times, list(zip(*piece.candles.values, strict=True))
        rows = [i for i in range(piece.start, piece.stop) if stored.get(times[i]) != sent[i]]
        return [part for first, stop in _runs(rows) for part in self._by_shard(piece.part(first, stop))]

    def _by_shard(self, piece: Piece) -> Iterator[Piece]:
        times, shard_of = piece.candles.open_times, self._database.retention.shard_of
        first = piece.start
        for i in range(piece.start + 1, piece.stop + 1):
            if i == piece.stop or shard_of(times[i]) != shard_of(times[first]):
                yield piece.part(first, i)
                first = i

    def _shard_of(self, piece: Piece) -> int:
        return self._database.retention.shard_of(piece.span.start_ms)

    async def _refuse(self, pieces: Sequence[Piece], reason: str, refused: dict[int, list[int]]) -> None:
        for delivery, of_one in groupby(pieces, key=lambda piece: piece.delivery):
            parts = list(of_one)
            times = [time for part in parts for time in part.candles.open_times[part.start : part.stop]]
            log.warning("store refused series=%s candles=%d reason=%s", parts[0].candles.series, len(times), reason)
            await self._dead_letter.put(b"".join([part.lines() for part in parts]).decode(), reason)
            refused.setdefault(delivery, []).extend(times)


def _runs(rows: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Return rising row numbers as ranges: 3, 4, 5, 9 is (3, 6), (9, 10)."""
    start = 0
    for i in range(1, len(rows) + 1):
        if i == len(rows) or rows[i] != rows[i - 1] + 1:
            yield rows[start], rows[i - 1] + 1
            start = i


def waves(pieces: Sequence[Piece]) -> list[list[Piece]]:
    """Return lists of pieces; write those of a list at once, one list after the other.

    Two pieces with the same minute of a series are never in one list, and the later one is in the later list.  A list
    is in order of series and time, so that a shard is touched once.
    """
    made: list[list[Piece]] = []
    by_key: dict[str, list[tuple[int, TimeRange]]] = {}
    for piece in pieces:
        before = by_key.setdefault(piece.key, [])
        number = max((wave + 1 for wave, span in before if span.clip(piece.span)), default=0)
        before.append((number, piece.span))
        while len(made) <= number:
            made.append([])
        made[number].append(piece)
    return [sorted(wave, key=lambda piece: (piece.key, piece.span)) for wave in made]


def batches(pieces: Iterable[Piece], size: int) -> Iterator[Batch]:
    """Join pieces of at most `size` candles, in their order, to batches of at most `size`."""
    batch: list[Piece] = []
    room = size
    for piece in pieces:
        if batch and len(piece) > room:
            yield tuple(batch)
            batch, room = [], size
        batch.append(piece)
        room -= len(piece)
    if batch:
        yield tuple(batch)


def halves(batch: Batch) -> tuple[Batch, Batch]:
    """Cut a batch of at least two candles in two; the first half has as many, or one more."""
    first: list[Piece] = []
    others = list(batch)
    room = -(-sum(map(len, batch)) // 2)
    while room:
        piece = others.pop(0)
        if len(piece) > room:
            piece, rest = piece.cut(room)
            others.insert(0, rest)
        first.append(piece)
        room -= len(piece)
    return tuple(first), tuple(others)
