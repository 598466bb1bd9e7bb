"""Binance spot: what differs from USD-M futures.

Source: binance/binance-spot-api-docs, rest-api.md (read 2026-11).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from laklak.simulator.archive.paths import SPOT
from laklak.simulator.dialects.base import Subject
from laklak.simulator.dialects.binance import Binance
from laklak.simulator.sources.base import Instrument

_WEIGHTS = {Subject.CANDLES: 2, Subject.LISTING: 20}


class BinanceSpot(Binance):
    """The dialect of Binance spot."""

    budget = 6000
    archive_root: str | None = SPOT
    paths = "/api/v3/"
    most_rows = 1000

    def cost(self, path: str, query: Mapping[str, str]) -> int:
        subject = self.subject_of(path)
        return 1 if subject is None else _WEIGHTS.get(subject, 1)

    def entry(self, instrument: Instrument) -> Any:
        """Without any date; what no longer trades has the status BREAK."""
        return {
            "symbol": instrument.symbol,
            "status": instrument.status or "TRADING",
            "baseAsset": instrument.base,
            "quoteAsset": instrument.quote,
            "isSpotTradingAllowed": True,
        }
