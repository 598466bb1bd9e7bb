"""Runs in which a venue's bulk files are asked beside its API, and what they asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import laklak as library

MINUTE_MS = 60_000
DAY_MS = 86_400_000
END_MS = 1_772_323_200_000  # 2026-03-01T00:00Z
START_MS = END_MS - 4 * DAY_MS
NOON_MS = END_MS - 2 * DAY_MS - DAY_MS // 2  # of 2026-02-26
# At noon of the day after all four recorded days are published, and no month is.
PUBLISHED_MS = END_MS + DAY_MS // 2 + 5_000  # and 5 s, so that the last minute before is wanted
SYMBOLS = ("LTCUSDT", "DOTUSDT")
RECORDING = {"start": "2026-02-25", "end": "2026-03-01"}
OCTOBER = {"start": "2026-10-01", "end": "2026-11-01"}


def backfill(*symbols: str, **options: Any) -> library.Summary:
    """Fill laklak.db, or `store`, as a program does."""
    summary = asyncio.run(library.backfill(list(symbols), **options))
    assert isinstance(summary, library.Summary)
    return summary


def files_asked(running: Any) -> int:
    """Requests for files and checksums so far at a venue."""
    return sum(running.simulator.stats.archive.values())


def zips_sent(running: Any, kind: str) -> int:
    """How many daily or monthly zips were there to be sent."""
    return int(running.simulator.stats.archive[f"{kind} zip", 200])


def rows_in(sql: Callable[..., list[tuple[Any, ...]]], path: str | Path) -> list[str]:
    """Every row of a store in order, spelled so that equal means equal bit for bit."""
    rows = sql("SELECT venue, symbol, interval, open_time, open, high, low, close, volume FROM candles", path=path)
    return sorted(map(repr, rows))
