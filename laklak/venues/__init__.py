"""The registry of venues: one adapter, one file, one line here."""

from __future__ import annotations

from typing import Final

from laklak.venues.base import Venue
from laklak.venues.binance import Binance
from laklak.venues.binance_coinm import BinanceCoinM
from laklak.venues.binance_spot import BinanceSpot
from laklak.venues.bitunix import Bitunix
from laklak.venues.blofin import Blofin
from laklak.venues.bybit import Bybit
from laklak.venues.deribit import Deribit
from laklak.venues.yfinance import YFinance

VENUES: Final[dict[str, Venue]] = {
    venue.name: venue
    for venue in (Binance(), BinanceSpot(), BinanceCoinM(), Bybit(), Bitunix(), Blofin(), Deribit(), YFinance())
}

# Names that asset lists in use already carry: their lines are skipped with a warning until the adapter exists.
PLANNED: Final = frozenset({"hyperliquid", "okx"})

__all__ = ["PLANNED", "VENUES", "Venue"]
