"""Where the simulator's candles come from: rows of JSON text by symbol and minute."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Instrument:
    """What a symbol trades: since when, until when (None: no known end), and in what digits.

    `status` is in the venue's own words, None if it trades as usual. `recorded`: all that the venue was recorded to say
    of it.
    """

    symbol: str
    base: str
    quote: str
    listed_ms: int | None = None
    ends_ms: int | None = None
    status: str | None = None
    price_decimals: int = 8
    quantity_decimals: int = 8
    recorded: Mapping[str, Any] | None = None


class CandleSource(Protocol):
    """One-minute candles of some symbols, as the rows that laklak.simulator.rows describes."""

    symbols: Sequence[str]
    end_ms: int
    """The first minute after the last candle; by default the venue's clock stands a little later."""
    recorded_listing: Mapping[str, Any] | None
    """What the venue was recorded to say in its listing beside the instruments, None if nothing was recorded."""

    def instrument(self, symbol: str) -> Instrument:
        """Return what is known of a symbol beside its candles."""
        ...

    def oldest(self, symbol: str, start_ms: int, end_ms: int, limit: int) -> list[bytes]:
        """Return the first `limit` rows with start <= open_time < end, oldest first."""
        ...

    def newest(self, symbol: str, start_ms: int, end_ms: int, limit: int) -> list[bytes]:
        """Return the last `limit` rows with start <= open_time < end, oldest first."""
        ...


class RowTable:
    """Rows of one symbol, oldest first."""

    def __init__(self, times: Sequence[int], rows: Sequence[bytes]) -> None:
        """Take rows with the open_time of each, which must rise from row to row."""
        self.times = array("q", times)
        self._rows = list(rows)

    def __len__(self) -> int:
        return len(self.times)

    def oldest(self, start_ms: int, end_ms: int, limit: int) -> list[bytes]:
        first, after = self._span(start_ms, end_ms)
        return self._rows[first : min(after, first + limit)]

    def newest(self, start_ms: int, end_ms: int, limit: int) -> list[bytes]:
        first, after = self._span(start_ms, end_ms)
        return self._rows[max(first, after - limit) : after]

    def _span(self, start_ms: int, end_ms: int) -> tuple[int, int]:
        first = bisect_left(self.times, start_ms)
        return first, bisect_left(self.times, end_ms, lo=first)
