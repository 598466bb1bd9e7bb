"""Symbols as other tools spell them, for venues that write base and quote in one word, as in BTCUSDT.  Pure.

Other spellings of the perpetual are understood (`BTC/USDT:USDT`, `BTCUSDT.P`, `BTC-USDT-SWAP`, lower case). Those of
the spot market (`BTC/USDT`, `BTC-USDT`, `BINANCE:BTCUSDT`) get an error and never a guess: their candles would be those
of another market.  For a spot venue, called NAME_spot, it is the other way round.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Final

from laklak.model.series import Interval, check_symbol

_QUOTES: Final = ("USDT", "USDC", "BUSD", "FDUSD", "USD", "BTC", "ETH")
QUOTES: Final = frozenset(_QUOTES)

ALIASES: Final[Mapping[str, str]] = {"yahoo": "yfinance"}
"""Other names of venues, accepted wherever a venue is named."""

_ANY_QUOTE = "|".join(_QUOTES)
# ccxt: BTC/USDT is spot; behind the colon stands the currency that settles a contract, then the day it ends.
_SLASHED = re.compile(r"(\w[^/:]*)/(\w[^/:-]*)(?::([^/:-]+)(?:-([0-9]{6}))?)?")
# TradingView: BTCUSDT.P, once BTCUSDTPERP; NautilusTrader: BTCUSDT-PERP.BINANCE; cryptofeed and OKX in three parts.
_MARKED = re.compile(rf"(.+)\.P|(.+)-(?:PERP|SWAP)(?:\.[A-Z]+)?|(.+(?:{_ANY_QUOTE}))PERP")
_PARTED = re.compile(rf"([^-_]+)[-_]({_ANY_QUOTE})")
_PAIR = re.compile(r"(\w[^-_/:]*)[-_/]([^\W\d_][^-_/:]*)")


class OtherMarket(ValueError):
    """The text means another market; `hint` says how this one's is written, `reason` is a word for programs."""

    def __init__(self, message: str, hint: str, reason: str = "spot_symbol") -> None:
        super().__init__(message)
        self.hint = hint
        self.reason = reason


def one_word_symbol(text: str) -> str:
    """Return the symbol of the perpetual that `text` means; OtherMarket for spot, ValueError if it is no symbol."""
    upper = _upper(text)
    if slashed := _SLASHED.fullmatch(upper):
        return check_symbol(_of_slashed(text, *slashed.groups()))
    if marked := _MARKED.fullmatch(upper):
        inner = next(group for group in marked.groups() if group)
        parted = _PARTED.fullmatch(inner)
        return check_symbol("".join(parted.groups()) if parted else inner)
    if parted := _PARTED.fullmatch(upper):
        raise _spot(text, *parted.groups())
    return check_symbol(_as_it_is(text))


def pair_symbol(text: str) -> str:
    """Return the symbol of the pair that `text` means in a spot market; OtherMarket for a contract."""
    upper = _upper(text)
    if pair := _PAIR.fullmatch(upper):
        if not _MARKED.fullmatch(upper):
            return check_symbol("".join(pair.groups()))
    elif not (_SLASHED.fullmatch(upper) or _MARKED.fullmatch(upper)):
        return check_symbol(_as_it_is(text))
    hint = "a pair of the spot market is written in one word, as in BTCUSDT"
    raise OtherMarket(f"{text!r} means a contract", hint, "contract_symbol")


def _upper(text: str) -> str:
    return "".join(char.upper() if char.isascii() else char for char in text)


def _as_it_is(text: str) -> str:
    # A symbol with other characters than coins have is in its venue's own spelling.
    return _upper(text) if all(char.isalnum() or char in "_." for char in text) else text


def _of_slashed(text: str, base: str, quote: str, settled: str | None, ends: str | None) -> str:
    if settled is None:
        raise _spot(text, base, quote)
    if settled != quote:
        raise ValueError(f"symbol {text!r} means a contract that is settled in {settled}, not in {quote}")
    return base + quote if ends is None else f"{base}{quote}_{ends}"


def _spot(text: str, base: str, quote: str) -> OtherMarket:
    right = f"{base}USDT" if quote == "USD" else f"{base}{quote}"
    return OtherMarket(f"{text!r} means the spot market", f"the perpetual is written {right}")


def known_venue(venue: str, symbol: str, venues: Collection[str]) -> str:
    """Return the venue that a prefix means; one in capitals, as TradingView writes it, only if the symbol is not spot.

    Return an unknown venue as it is.
    """
    venue = ALIASES.get(venue, venue)
    lower = venue.lower()
    if venue in venues or not venue.isupper() or lower not in venues:
        return venue
    upper = symbol.upper()
    if lower.endswith("_spot") or "/" in symbol or _MARKED.fullmatch(upper) or _PARTED.fullmatch(upper):
        return lower
    raise OtherMarket(
        f"{f'{venue}:{symbol}'!r} means the spot market, as TradingView writes it",
        f"the perpetual is written {lower}:{symbol}, or {venue}:{symbol}.P",
    )


def parts_of(text: str) -> tuple[str | None, str, str | None]:
    """Return (venue, symbol, interval) as typed; None for not given. `BTC/USDT:USDT` is a symbol with a colon."""
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
