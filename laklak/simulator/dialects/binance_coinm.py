"""Binance COIN-M: what differs from USD-M futures.

Source: Binance COIN-M documentation, klines and general information (read 2026-11).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from laklak.model.series import DAY_MS
from laklak.simulator.archive.paths import COINS
from laklak.simulator.dialects.base import CandlesQuery
from laklak.simulator.dialects.binance import Binance, refusal
from laklak.simulator.rows import in_contracts, open_time_of
from laklak.simulator.sources.base import Instrument

_WIDEST_MS: Final = 200 * DAY_MS


class BinanceCoinM(Binance):
    """The dialect of Binance COIN-M futures."""

    names: Sequence[str] = ("BTCUSD_PERP", "ETHUSD_PERP", "SOLUSD_PERP")
    archive_root: str | None = COINS
    paths = "/dapi/v1/"

    def read_candles(self, path: str, query: Mapping[str, str]) -> CandlesQuery:
        """The newest rows of at most 200 days come; an end that is not sent is that far from the other, or now."""
        asked = super().read_candles(path, query)
        start_ms, end_ms = asked.start_ms, asked.end_ms
        if start_ms is not None and end_ms is not None and end_ms - start_ms > _WIDEST_MS:
            raise refusal(-4088, "Maximum time interval is 200 days.")
        if start_ms is None and end_ms is not None:
            start_ms = max(0, end_ms - _WIDEST_MS)
        elif end_ms is None and start_ms is not None:
            end_ms = start_ms + _WIDEST_MS
        return replace(asked, start_ms=start_ms, end_ms=end_ms, oldest_first=False)

    def candles(self, query: CandlesQuery, rows: Sequence[bytes], now_ms: int) -> bytes:
        if query.start_ms is None:
            rows = [row for row in rows if open_time_of(row) >= now_ms - _WIDEST_MS]
        return super().candles(query, [in_contracts(row) for row in rows], now_ms)

    def entry(self, instrument: Instrument) -> Any:
        entry = super().entry(instrument)
        pair, _, ends = instrument.symbol.partition("_")
        base = pair.removesuffix("USD")
        return {
            **{name: value for name, value in entry.items() if name != "status"},
            "pair": pair,
            "contractType": "PERPETUAL" if ends == "PERP" else "CURRENT_QUARTER",
            "contractStatus": entry["status"],
            "contractSize": 100,
            "baseAsset": base,
            "quoteAsset": "USD",
            "marginAsset": base,
        }
