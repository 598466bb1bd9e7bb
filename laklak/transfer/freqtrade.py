"""Where freqtrade looks for the candles of a series: a pair as ccxt spells it, in a folder of the exchange.  Pure.

    binance:BTCUSDT:1m       BTC/USDT:USDT   binance/futures/BTC_USDT_USDT-1m-futures.feather
    binance_spot:BTCUSDT:1m  BTC/USDT        binance/BTC_USDT-1m.feather

Source: freqtrade 2026.9, data/history/datahandlers and misc.py; ccxt 4.5.90, safe_currency_code (read 2026-11). Pairs
of a venue that freqtrade cannot trade at are spelled the same way: its data handlers read them from any folder.

In one word base and quote are told apart by the quote: exactly one that the venue has must fit.  Of all 705 instruments
that Binance listed on 2026-03-31 each perpetual is settled in its quote, and its symbol is base and quote, but for one.
"""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Final

from laklak.model.series import Series

FORMATS: Final = {"feather": ".feather", "parquet": ".parquet", "json": ".json"}
"""What its data handlers read; the first one is its default."""

_LINEAR: Final = "USDT USDC BUSD BTC"
_SPOT: Final = (
    "USDT USDC FDUSD TUSD BUSD USDP USD1 USDS PAX DAI UST BTC ETH BNB XRP TRX DOGE DOT SOL EUR AEUR EURI GBP AUD TRY "
    "BRL ARS COP CZK MXN JPY PLN RON UAH ZAR RUB NGN BIDR IDRT BKRW BVND VAI"
)
_COINS: Final = {"XBT": "BTC", "BCHSV": "BSV"}
"""Coins that ccxt calls otherwise."""


class NoPair(ValueError):
    """A series that freqtrade has no pair for, and why."""


def place_of(series: Series, form: str) -> PurePath:
    """The file of a series, from the folder of all data on; NoPair where there is none."""
    # What freqtrade's pair_to_filename makes of a pair.
    name = re.sub(r"[/ .@$+:]", "_", pair_of(series))
    if series.venue == "binance_spot":
        return PurePath("binance", f"{name}-{series.interval}{FORMATS[form]}")
    return PurePath(series.venue, "futures", f"{name}-{series.interval}-futures{FORMATS[form]}")


def pair_of(series: Series) -> str:
    """What ccxt calls the symbol of a series; NoPair where freqtrade cannot know it, or this does not."""
    symbol = series.symbol
    match series.venue:
        case "binance_spot":
            return "/".join(map(_coin, _parted(symbol, _SPOT)))
        case "binance" | "bitunix":
            return _linear(*_parted(symbol, _LINEAR))
        case "bybit":
            # Contracts in USDC were first: BTCPERP.
            base = symbol.removesuffix("PERP")
            return _linear(*(_parted(symbol, _LINEAR) if base == symbol else (base, "USDC")))
        case "blofin":
            return _linear(*_two(symbol, "-"))
        case "deribit" if symbol.endswith("-PERPETUAL") and "_" in symbol:
            return _linear(*_two(symbol.removesuffix("-PERPETUAL"), "_"))
        case "deribit" | "binance_coinm":
            raise NoPair("it trades linear perpetuals alone")
    raise NoPair(f"it knows no exchange {series.venue}")


def _linear(base: str, quote: str) -> str:
    return f"{_coin(base)}/{_coin(quote)}:{_coin(quote)}"


def _coin(name: str) -> str:
    return _COINS.get(name, name)


def _two(symbol: str, between: str) -> tuple[str, str]:
    base, _, quote = symbol.partition(between)
    if not (base and quote.isalnum()):
        raise NoPair("its symbol is no base and quote")
    return base, quote


def _parted(symbol: str, quotes: str) -> tuple[str, str]:
    if re.search(r"[-_]", symbol):
        raise NoPair("a contract that ends is no pair of it")
    found = [quote for quote in quotes.split() if symbol.endswith(quote) and symbol != quote]
    if len(found) != 1:
        why = f"ends with {' and '.join(found)}" if found else "ends with no quote that is known"
        raise NoPair(f"its symbol {why}, so base and quote cannot be told apart")
    return symbol.removesuffix(found[0]), found[0]
