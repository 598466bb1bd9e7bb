"""Symbols as other tools spell them, for venues that write base and quote in one word, as in BTCUSDT.  Pure.

What means the perpetual elsewhere is understood (`BTC/USDT:USDT`, `BTCUSDT.P`, `BTC-USDT-SWAP`, lower case). What means
the spot market elsewhere (`BTC/USDT`, `BTC-USDT`, `BINANCE:BTCUSDT`) is answered and never guessed: its candles would
be those of another market.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Final

from laklak.model.series import Interval, check_symbol

_QUOTES: Final = ("USDT", "USDC", "BUSD", "FDUSD", "USD", "BTC", "ETH")
QUOTES: Final = frozenset(_QUOTES)

ALIASES: Final[Mapping[str, str]] = {"yahoo": "yfinance"}
"""Other names of venues, taken wherever one is named."""

_ANY_QUOTE = "|".join(_QUOTES)
# ccxt: BTC/USDT is spot, what stands behind the colon is what a contract is settled in, then the day it ends.
_SLASHED = re.compile(r"(\w[^/:]*)/(\w[^/:-]*)(?::([^/:-]+)(?:-([0-9]{6}))?)?")
# TradingView: BTCUSDT.P, once BTCUSDTPERP; NautilusTrader: BTCUSDT-PERP.BINANCE; cryptofeed and OKX in three parts.
_MARKED = re.compile(rf"(.+)\.P|(.+)-(?:PERP|SWAP)(?:\.[A-Z]+)?|(.+(?:{_ANY_QUOTE}))PERP")
_PARTED = re.compile(rf"([^-_]+)[-_]({_ANY_QUOTE})")


class SpotSpelling(ValueError):
    """What was written means the spot market; `hint` says how the perpetual is written."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def one_word_symbol(text: str) -> str:
    """Give the symbol of the perpetual that `text` means; SpotSpelling for spot, ValueError for what is no symbol."""
    upper = "".join(char.upper() if char.isascii() else char for char in text)
    if slashed := _SLASHED.fullmatch(upper):
        return check_symbol(_of_slashed(text, *slashed.groups()))
    if marked := _MARKED.fullmatch(upper):
        inner = next(group for group in marked.groups() if group)
        parted = _PARTED.fullmatch(inner)
        return check_symbol("".join(parted.groups()) if parted else inner)
    if parted := _PARTED.fullmatch(upper):
        raise _spot(text, *parted.groups())
    # What has other characters than names of coins have is spelled as its venue does.
    return check_symbol(upper if all(char.isalnum() or char in "_." for char in text) else text)


def _of_slashed(text: str, base: str, quote: str, settled: str | None, ends: str | None) -> str:
    if settled is None:
        raise _spot(text, base, quote)
    if settled != quote:
        raise ValueError(f"symbol {text!r} means a contract that is settled in {settled}, not in {quote}")
    return base + quote if ends is None else f"{base}{quote}_{ends}"


def _spot(text: str, base: str, quote: str) -> SpotSpelling:
    right = f"{base}USDT" if quote == "USD" else f"{base}{quote}"
    return SpotSpelling(f"{text!r} means the spot market", f"the perpetual is written {right}")


def known_venue(venue: str, symbol: str, venues: Collection[str]) -> str:
    """Give the venue that a prefix means: in capitals, as TradingView writes it, only before what is no spot symbol.

    What is no venue is given back as it is.
    """
    venue = ALIASES.get(venue, venue)
    lower = venue.lower()
    if venue in venues or not venue.isupper() or lower not in venues:
        return venue
    upper = symbol.upper()
    if "/" in symbol or _MARKED.fullmatch(upper) or _PARTED.fullmatch(upper):
        return lower
    raise SpotSpelling(
        f"{f'{venue}:{symbol}'!r} means the spot market, as TradingView writes it",
        f"the perpetual is written {lower}:{symbol}, or {venue}:{symbol}.P",
    )


def parts_of(text: str) -> tuple[str | None, str, str | None]:
    """Give (venue, symbol, interval) of what was typed; None is not given. `BTC/USDT:USDT` is a symbol with a colon."""
    pieces = text.split(":")
    slash = next((place for place, piece in enumerate(pieces) if "/" in piece), None)
    if slash is not None:
        symbol = pieces[slash:]
        interval = symbol.pop() if len(symbol) > 1 and _is_interval(symbol[-1]) else None
        return ":".join(pieces[:slash]) if slash else None, ":".join(symbol), interval
    if len(pieces) < 3:
        return (pieces[0] if len(pieces) == 2 else None), pieces[-1], None
    return pieces[0], ":".join(pieces[1:-1]), pieces[-1]


def _is_interval(text: str) -> bool:
    try:
        Interval.parse(text)
    except ValueError:
        return False
    return True
