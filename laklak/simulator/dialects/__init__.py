"""How each venue spells the simulator's answers: one file each, one line here."""

from __future__ import annotations

from typing import Final

from laklak.simulator.dialects.base import Dialect
from laklak.simulator.dialects.binance import Binance
from laklak.simulator.dialects.binance_coinm import BinanceCoinM
from laklak.simulator.dialects.binance_spot import BinanceSpot
from laklak.simulator.dialects.bitunix import Bitunix
from laklak.simulator.dialects.blofin import Blofin
from laklak.simulator.dialects.bybit import Bybit
from laklak.simulator.dialects.deribit import Deribit
from laklak.simulator.dialects.yfinance import YFinance

DIALECTS: Final[dict[str, Dialect]] = {
    "binance": Binance(),
    "binance_spot": BinanceSpot(),
    "binance_coinm": BinanceCoinM(),
    "bybit": Bybit(),
    "bitunix": Bitunix(),
    "blofin": Blofin(),
    "deribit": Deribit(),
    "yfinance": YFinance(),
}
