"""A recording that goes on: generated candles from its end on, for a clock that runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import orjson

from laklak.model.series import DAY_MS
from laklak.simulator.rows import CLOSE, open_time_of
from laklak.simulator.sources.base import CandleSource, Instrument
from laklak.simulator.sources.generated import Profile, Walks

_QUANTITY_DECIMALS: Final = 1


class ContinuedSource:
    """Continues `recorded`: every symbol with candles in its last day walks on from near its last price.

    The same seed gives the same candles.
    """

    def __init__(self, recorded: CandleSource, *, seed: int) -> None:
        self.symbols: Sequence[str] = recorded.symbols
        self.end_ms = recorded.end_ms
        self.recorded_listing = recorded.recorded_listing
        self._recorded = recorded
        last_rows = {
            symbol: recorded.newest(symbol, recorded.end_ms - DAY_MS, recorded.end_ms, 1) for symbol in recorded.symbols
        }
        day = recorded.end_ms // DAY_MS
        self._going_on = {symbol: _profile(rows[0], day) for symbol, rows in last_rows.items() if rows}
        self._walks = Walks(self._going_on, seed=seed, start_ms=recorded.end_ms)

    def __repr__(self) -> str:
        return f"<ContinuedSource {self._recorded!r} going_on={len(self._going_on)}>"

    def instrument(self, symbol: str) -> Instrument:
        return self._recorded.instrument(symbol)

    def oldest(self, symbol: str, start_ms: int, end_ms: int, limit: int) -> list[bytes]:
        rows = self._recorded.oldest(symbol, start_ms, min(end_ms, self.end_ms), limit)
        if len(rows) < limit and end_ms > self.end_ms and symbol in self._going_on:
            rows = [*rows, *self._walks.oldest(symbol, start_ms, end_ms, limit - len(rows))]
        return rows

    def newest(self, symbol: str, start_ms: int, end_ms: int, limit: int) -> list[bytes]:
        rows = []
        if end_ms > self.end_ms and symbol in self._going_on:
            rows = self._walks.newest(symbol, start_ms, end_ms, limit)
        if len(rows) < limit:
            rows = [*self._recorded.newest(symbol, start_ms, min(end_ms, self.end_ms), limit - len(rows)), *rows]
        return rows


def last_open_ms(source: CandleSource, symbols: Sequence[str], end_ms: int) -> int | None:
    """Return when the newest candle of any of `symbols` before `end_ms` begins; None if there is none."""
    newest = [rows[0] for symbol in symbols if (rows := source.newest(symbol, 0, end_ms, 1))]
    return max(map(open_time_of, newest), default=None)


def _profile(row: bytes, day: int) -> Profile:
    """Take the digits and the level of prices from the last row."""
    close = orjson.loads(row)[CLOSE]
    decimals = len(close.partition(".")[2])
    ticks = max(1, round(float(close) * 10**decimals))
    steps = 10**_QUANTITY_DECIMALS
    return Profile(
        decimals, _QUANTITY_DECIMALS, steps, f"%.{_QUANTITY_DECIMALS}f", ticks, max(1, ticks // 20_000), (day, ticks)
    )
