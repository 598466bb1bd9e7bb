"""Stores to be copied: filled with candles that can be told apart, and looked at afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import sqlite3
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import laklak as library
from laklak.model.absences import Absence, AbsenceKind
from laklak.model.candles import CandleBatch
from laklak.model.series import Interval, Series, TimeRange
from laklak.stores import open_store
from laklak.stores.base import Delivery, Origin

MINUTE = Interval.parse("1m")

MINUTE_MS = 60_000
START_MS = 1_772_236_800_000  # 2026-02-28T00:00Z
BTC, ETH, HOURS = "binance:BTCUSDT:1m", "binance:ETHUSDT:1m", "binance:BTCUSDT:1h"

Row = tuple[int, float, float, float, float, float]
Content = tuple[dict[str, list[Row]], dict[str, list[Absence]], Origin | None]

_EVER = TimeRange(0, 1 << 50)
_numbers = itertools.count()


def new_name() -> str:
    """A name that no other store of this session has."""
    return f"copied_{next(_numbers)}"


def candles(series: str, minutes: Iterable[int], price: float = 100.0) -> CandleBatch:
    """Candles whose numbers tell series, minute and price apart; minutes from START_MS on, in units of the interval."""
    minutes = list(minutes)
    parsed = Series.parse(series)
    times = [START_MS + minute * parsed.interval.ms for minute in minutes]
    values = tuple([price + minute + field / 8 for minute in minutes] for field in range(5))
    return CandleBatch(parsed, times, tuple([repr(value) for value in column] for column in values), values)


def sound(series: str, minutes: Iterable[int], price: float = 0.1) -> CandleBatch:
    """Candles that keep every rule, with digits to lose."""
    batch = candles(series, minutes, price)
    columns = [batch.values[place] for place in (1, 4, 0, 2, 3)]
    return CandleBatch(batch.series, batch.open_times, tuple(list(map(repr, one)) for one in columns), tuple(columns))


def absence(minute: int, kind: AbsenceKind = "hole", reason: str = "two complete answers lack it") -> Absence:
    row = '[1, "a"]' if kind == "rejected" else None
    return Absence.at(MINUTE, START_MS + minute * MINUTE_MS, kind, 1_772_400_000_000, reason, row)


def fill(where: str, *batches: CandleBatch, absences: Sequence[Absence] = (), origin: Origin = "simulated") -> None:
    """Put candles, and absences of the first batch's series, into a store."""

    async def work() -> None:
        async with open_store(where) as store:
            await store.set_origin(origin)
            await store.write([Delivery(batch.series, batch) for batch in batches if len(batch)])
            if absences:
                await store.write([Delivery(batches[0].series, None, absences)])

    asyncio.run(work())


def content(where: str) -> Content:
    """Everything that a store holds: series -> candles, series -> absences, origin."""

    async def work() -> Content:
        async with open_store(where, create=False) as store:
            held = await store.holdings()
            found = {str(series): await store.read(series, _EVER) for series in held}
            rows = {
                name: list(zip(columns.open_times, *columns.values, strict=True)) for name, columns in found.items()
            }
            absences = {str(series): await store.absences(series, _EVER) for series in held}
            return rows, absences, await store.origin()

    return asyncio.run(work())


def minutes_of(where: str, series: str = BTC) -> list[int]:
    return [(row[0] - START_MS) // MINUTE_MS for row in content(where)[0].get(series, [])]


def copy(source: str | Path, destination: str | Path, *series: str, **options: Any) -> library.CopySummary:
    """Copy as a program does."""
    return asyncio.run(library.copy(source, destination, series or None, **options))


def bits(path: str) -> list[tuple[int, bytes]]:
    """Every candle of a file with one series: open time, the bytes of its five numbers."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT open_time, open, high, low, close, volume FROM candle ORDER BY open_time")
        return [(row[0], struct.pack("<5d", *row[1:])) for row in rows]
