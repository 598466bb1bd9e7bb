"""Where the simulator's candles come from: rows of JSON text by symbol and minute."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

NEVER_MS: Final = 4_133_404_800_000
"""The deliveryDate Binance gives a perpetual that has no end."""


class CandleSource(Protocol):
    """One-minute candles of some symbols. A row is the JSON text of one candle's 12 elements, as Binance sends it."""

    symbols: Sequence[str]
    end_ms: int
    """The first minute after the last candle; unless told otherwise the venue's clock stands a little later."""
    info: Mapping[str, Any]
    """What exchangeInfo answers beside symbols, rateLimits and serverTime."""

    def instrument(self, symbol: str) -> dict[str, Any]:
        """The symbol's entry in exchangeInfo, as a copy that may be changed."""
        ...

    def oldest(self, symbol: str, start_ms: int, end_ms: int, limit: int) -> list[bytes]:
        """The first `limit` rows with start <= open_time < end, oldest first."""
        ...

    def newest(self, symbol: str, start_ms: int, end_ms: int, limit: int) -> list[bytes]:
        """The last `limit` rows with start <= open_time < end, oldest first."""
        ...


def open_time_of(row: bytes) -> int:
    """The open_time of a row without decoding the rest of it."""
    return int(row[1 : row.index(b",")])


def minimal_instrument(symbol: str, base: str, onboard_ms: int, price_decimals: int, quantity_decimals: int) -> Any:
    """An exchangeInfo entry of a USDT perpetual with the members that clients look at."""
    return {
        "symbol": symbol,
        "pair": symbol,
        "contractType": "PERPETUAL",
        "deliveryDate": NEVER_MS,
        "onboardDate": onboard_ms,
        "status": "TRADING",
        "baseAsset": base,
        "quoteAsset": "USDT",
        "marginAsset": "USDT",
        "pricePrecision": price_decimals,
        "quantityPrecision": quantity_decimals,
        "underlyingType": "COIN",
        "filters": [
            {"filterType": "PRICE_FILTER", "tickSize": f"{10**-price_decimals:.{price_decimals}f}"},
            {"filterType": "LOT_SIZE", "stepSize": f"{10**-quantity_decimals:.{quantity_decimals}f}"},
        ],
    }


class RowTable:
    """Rows of one symbol, oldest first."""

    def __init__(self, times: Sequence[int], rows: Sequence[bytes]) -> None:
        """Rows with the open_time of each, which must rise from row to row."""
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
